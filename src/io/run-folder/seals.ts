/**
 * Per group the highest sealed token. Once here, nothing is ever started under that token or an older one.
 *
 * The first line is the plain number, so that the one-line shell that becomes an action can look for itself between
 * joining its cgroup and becoming the agent: whoever seals and then kills the cgroup catches it on one side or the other.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { GroupName, Token } from '../../base/index.js'
import { checksum, readWhole, writeWhole } from './atomic-file.js'

export class Seals {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  pathOf(group: GroupName): string {
    return join(this.#folder, group)
  }

  /** Written before it returns. Never lowers a seal. */
  seal(group: GroupName, token: Token): void {
    const known = this.#read(group)
    if (typeof known === 'number' && known >= token) return
    writeWhole(this.pathOf(group), `${token}\n${checksum(String(token))}\n`)
  }

  /** A seal that cannot be read counts as sealed: nothing is started on a guess. */
  isSealed(group: GroupName, token: Token): boolean {
    const known = this.#read(group)
    return known === 'garbled' || (known !== undefined && known >= token)
  }

  /** What can be stated: garbled seals are left out, they prove nothing. */
  all(): ReadonlyMap<GroupName, Token> {
    const seals = new Map<GroupName, Token>()
    for (const name of namesIn(this.#folder)) {
      const known = this.#read(name as GroupName)
      if (typeof known === 'number') seals.set(name as GroupName, known)
    }
    return seals
  }

  #read(group: GroupName): Token | 'garbled' | undefined {
    let text: string | undefined
    try {
      text = readWhole(this.pathOf(group))
    } catch {
      return 'garbled'
    }
    if (text === undefined) return undefined
    const [token = '', check] = text.split('\n')
    return /^\d+$/.test(token) && check === checksum(token) ? (Number(token) as Token) : 'garbled'
  }
}

/** Names of the files of a folder, without those that are being written. Throws when it cannot be listed: "none" would be a statement. */
export function namesIn(folder: string): readonly string[] {
  return readdirSync(folder).filter((name) => !name.endsWith('.new'))
}
