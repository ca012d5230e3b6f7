/**
 * Writes of single keys that came together become one entry of the log: what an entry costs on every member is paid once for all of
 * them. They are concurrent, so any order of them is a right one, and none can tell that it was not alone: each key is written once
 * in an entry, so that a revision stands for one value of a key, and nothing that could be refused for itself is among them but a
 * value that is too large; then all are refused, and each is tried for itself.
 */
import type { Command, StoreOperation } from './commands.js'
import type { CommandResult } from './rows.js'

type StoreCommand = Extract<Command, { kind: 'store' }>

/** Writes in one entry, and characters of their values. */
export const writesMax = 64
const charactersMax = 64 * 1024
/** Longest value that is worth it. */
const valueMax = 4_096

/** Bytes that a character may take as JSON, at most. */
const bytesMax = 6

/**
 * The write that this command is, where it may stand in an entry together with others. `limit`: bytes that a value may have (setting
 * storeValueMax); what may be above it goes alone.
 */
export function loneWrite(command: Command, limit: number): StoreOperation | undefined {
  if (command.kind !== 'store' || command.operations.length !== 1) return undefined
  const [operation] = command.operations
  if (operation?.kind !== 'put' || operation.ifRevision !== undefined || operation.ifAbsent !== undefined) return undefined
  const { value } = operation
  if (typeof value === 'object' && value !== null) return undefined
  const { length } = String(value)
  return length > valueMax || bytesMax * length + 2 > limit ? undefined : operation
}

/** Writes by id → commands with the ids whose writes they hold, in order; one that stays alone is a command of its own. */
export function mergeWrites<Id>(
  writes: readonly { readonly id: Id; readonly write: StoreOperation }[],
): readonly { readonly ids: readonly Id[]; readonly command: StoreCommand }[] {
  const merged: { ids: Id[]; command: StoreCommand }[] = []
  let ids: Id[] = []
  let operations: StoreOperation[] = []
  let characters = 0
  const keys = new Set<string>()
  const close = (): void => {
    if (ids.length > 0) merged.push({ ids, command: { kind: 'store', operations } })
    ids = []
    operations = []
    characters = 0
    keys.clear()
  }
  for (const { id, write } of writes) {
    const size = write.key.length + (write.kind === 'put' && typeof write.value === 'string' ? write.value.length : 8)
    if (keys.has(write.key) || ids.length === writesMax || characters + size > charactersMax) close()
    ids.push(id)
    operations.push(write)
    characters += size
    keys.add(write.key)
  }
  close()
  return merged
}

/** The answer to the write at this place, as if it had been alone. */
export function partOfStore(result: CommandResult, at: number): CommandResult {
  if (!result.ok) return result
  const { results, revision } = result.value as { readonly results: readonly unknown[]; readonly revision: unknown }
  return { ok: true, index: result.index, value: { results: [results[at]], revision } }
}
