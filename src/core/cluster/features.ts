/**
 * Feature levels: what every member must understand before a command of that level may enter the log (R27).
 *
 * A member tells its level with its boot. The leader raises the cluster's level once every member's latest boot has it, and
 * not before; from then on a member of a lower level stops rather than skip what it does not know.
 */
import type { Command } from './commands.js'
import { currentBoot, metaOf, type Reader, rowsOfMembers } from './state.js'

/** The highest level that this version understands. */
export const supportedLevel = 1

/** Commands that came after level 1, with the level that brought them. */
const introduced: Readonly<Partial<Record<Command['kind'], number>>> = {}

/** A command in the log that this version does not know, or a cluster that has moved beyond it: the member has to stop. */
export class BeyondThisVersion extends Error {
  override readonly name = 'BeyondThisVersion'
}

/** The level that every member must have before this command may be proposed. */
export function levelOf(command: Command): number {
  if (command.kind === 'transaction') return Math.max(1, ...command.commands.map(levelOf))
  return introduced[command.kind] ?? 1
}

/** The level in force. */
export function levelInForce(reader: Reader): number {
  return metaOf(reader).level
}

/** The level that all members have by now. A member that has not told any keeps the cluster where it is. */
export function levelOfAll(reader: Reader): number {
  const levels = rowsOfMembers(reader)
    .filter((row) => row.wanted !== 'gone')
    .map((row) => currentBoot(reader, row.node)?.level ?? 0)
  return levels.length === 0 ? 0 : Math.min(...levels)
}
