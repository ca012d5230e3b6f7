/**
 * Where the bytes of carried files wait between the monitor and the daemon, in the run folder.
 *
 * `captured`: what files of a running group were last, by the monitor, until the daemon has it in the log. `staged`: what the last
 * holder has left, by the daemon, until the monitor has put it back. A list is written when all that it names is there.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { GroupName, NodeId, Token } from '../../base/index.js'
import type { CarriedFile } from '../../core/cluster/index.js'
import { namesIn, type RunFolder, readChecked, writeChecked } from '../run-folder/index.js'

/** What one file of a group is now. */
export interface CapturedEntry {
  /** As the state calls it. */
  readonly key: string
  readonly file: CarriedFile
  readonly size: number
  readonly sum: string
  /** Why it cannot be carried; its bytes are then those from before, or none. */
  readonly problem?: string
}

export interface StagedItem {
  /** Name of the file with its bytes. */
  readonly data: string
  /** Of a checkpoint. */
  readonly name: string
  readonly size: number
  readonly sum: string
  /** Who had it last. */
  readonly node: NodeId
  readonly file?: CarriedFile
}

/** Takes the bytes of one item after the other, and then the list. */
export interface Staging {
  add(item: Omit<StagedItem, 'data'>, parts: Iterable<Uint8Array>): Promise<void>
  finish(): void
}

type Of = { readonly group: GroupName; readonly token: Token }

export class CarriedFolders {
  readonly #runFolder: RunFolder

  constructor(runFolder: RunFolder) {
    this.#runFolder = runFolder
  }

  // From the monitor to the daemon.

  async capture(of: Of, entry: CapturedEntry, bytes: Uint8Array | undefined): Promise<void> {
    const folder = this.#folder('captured', of)
    if (bytes !== undefined) {
      const beside = join(folder, `${entry.key}.${entry.sum}.new`)
      const file = await open(beside, 'w', 0o600)
      try {
        await file.writeFile(bytes)
      } finally {
        await file.close()
      }
      await rename(beside, join(folder, `${entry.key}.data`))
    }
    writeChecked(join(folder, `${entry.key}.json`), entry)
  }

  captured(of: Of): readonly CapturedEntry[] {
    const folder = this.#folder('captured', of)
    return namesIn(folder).flatMap((name) => {
      const file = name.endsWith('.json') ? readChecked(join(folder, name)) : undefined
      return file?.kind === 'read' ? [file.value as CapturedEntry] : []
    })
  }

  /** Its bytes; those of a newer entry where that has come meanwhile. */
  bytesOf(of: Of, { key }: CapturedEntry): Promise<Uint8Array> {
    return readFile(join(this.#folder('captured', of), `${key}.data`))
  }

  /** Groups of which something was captured, each under the token that it ran by. */
  allCaptured(): readonly Of[] {
    return namesIn(this.#runFolder.folder('captured')).map((name) => {
      const at = name.lastIndexOf('@')
      return { group: name.slice(0, at) as GroupName, token: Number(name.slice(at + 1)) as Token }
    })
  }

  dropCaptured(of: Of): void {
    rmSync(this.#folder('captured', of), { recursive: true, force: true })
  }

  // From the daemon to the monitor.

  isStaged(of: Of): boolean {
    return existsSync(join(this.#runFolder.path, 'staged', nameOf(of), 'staged'))
  }

  /** What was staged under other tokens goes. */
  stage(of: Of): Staging {
    for (const name of namesIn(this.#runFolder.folder('staged')))
      if (name.slice(0, name.lastIndexOf('@')) === of.group)
        rmSync(join(this.#runFolder.folder('staged'), name), { recursive: true, force: true })
    const folder = this.#folder('staged', of)
    const items: StagedItem[] = []
    return {
      add: async (item, parts) => {
        const data = `${items.length}.data`
        const file = await open(join(folder, data), 'w', 0o600)
        try {
          for (const part of parts) await file.write(part)
        } finally {
          await file.close()
        }
        items.push({ ...item, data })
      },
      finish: () => {
        writeChecked(join(folder, 'todo'), items)
        writeFileSync(join(folder, 'staged'), '')
      },
    }
  }

  /** What is still to be put back; undefined where nothing is. Throws where nobody can tell. */
  todo(of: Of): readonly StagedItem[] | undefined {
    const file = readChecked(join(this.#folder('staged', of), 'todo'))
    if (file.kind === 'garbled') throw new Error('the list of what is to be put back cannot be read')
    return file.kind === 'read' ? (file.value as readonly StagedItem[]) : undefined
  }

  stagedBytes(of: Of, { data }: StagedItem): Promise<Uint8Array> {
    return readFile(join(this.#folder('staged', of), data))
  }

  /** All of it is where it belongs. */
  done(of: Of, items: readonly StagedItem[]): void {
    const folder = this.#folder('staged', of)
    rmSync(join(folder, 'todo'), { force: true })
    for (const { data } of items) rmSync(join(folder, data), { force: true })
  }

  #folder(kind: 'captured' | 'staged', of: Of): string {
    return this.#runFolder.folder(kind, nameOf(of))
  }
}

const nameOf = ({ group, token }: Of) => `${group}@${token}`
