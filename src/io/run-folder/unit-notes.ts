/**
 * What is known of the units that run as resources: enough to kill one, and to tell whether it is gone, when neither systemd nor the
 * monitor answers. Beside it the file with the grant, without which systemd starts nothing of the unit.
 */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { BootId, GroupName, ResourceName, Token } from '../../base/index.js'
import { makeFolder, readChecked, writeChecked, writeWhole } from './atomic-file.js'
import { namesIn } from './seals.js'

export interface UnitNote {
  readonly boot: BootId
  readonly group: GroupName
  readonly resource: ResourceName
  readonly token: Token
  readonly unit: string
  /** Below the root of the cgroup tree. */
  readonly cgroup: string
  /** `starting`: systemd was, or is about to be, told to start it, and has not said what came of it. */
  readonly phase: 'starting' | 'started'
  /** It runs as long as processes of it do; false where it may be active without any. */
  readonly livesByProcesses: boolean
}

type Named = Pick<UnitNote, 'group' | 'resource'>

export class UnitNotes {
  readonly #notes: string
  readonly #grants: string

  constructor(root: string) {
    this.#notes = makeFolder(join(root, 'units'))
    this.#grants = makeFolder(join(root, 'unit-grants'))
  }

  write(note: UnitNote): void {
    writeChecked(join(this.#notes, nameOf(note)), note)
  }

  /** Undefined where it is missing or cannot be read. */
  read(of: Named): UnitNote | undefined {
    const file = readChecked(join(this.#notes, nameOf(of)))
    return file.kind === 'read' ? (file.value as UnitNote) : undefined
  }

  all(): readonly UnitNote[] {
    return namesIn(this.#notes).flatMap((name) => {
      const file = readChecked(join(this.#notes, name))
      return file.kind === 'read' ? [file.value as UnitNote] : []
    })
  }

  remove(of: Named): void {
    rmSync(join(this.#notes, nameOf(of)), { force: true })
  }

  grantPath(of: Named): string {
    return join(this.#grants, nameOf(of))
  }

  /** Variables as systemd reads them (EnvironmentFile= of systemd.exec(5)). */
  writeGrant(of: Named, environment: Readonly<Record<string, string>>): void {
    const lines = Object.entries(environment).map(([name, value]) => `${name}="${value.replaceAll(/["\\$`]/g, '\\$&')}"\n`)
    writeWhole(this.grantPath(of), lines.join(''))
  }

  hasGrant(of: Named): boolean {
    return existsSync(this.grantPath(of))
  }

  removeGrant(of: Named): void {
    rmSync(this.grantPath(of), { force: true })
  }

  /** What an earlier boot left. */
  clear(): void {
    for (const folder of [this.#notes, this.#grants]) for (const name of namesIn(folder)) rmSync(join(folder, name), { force: true })
  }
}

const nameOf = ({ group, resource }: Named) => `${group}@${resource}`
