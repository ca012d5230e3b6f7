/** Settings, the store and operations. */
import { clockDrift, effectiveSettings, type GroupName, type LogTime, patchSettings } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, checkRevision, refuse } from './context.js'
import { abandonMigration } from './migration.js'
import { leaseBound, openCases } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

/** Longest key of the store, in characters. */
export const storeKeyMax = 512

export function changeSettings(context: Context, command: CommandOf<'patch-settings'>): Value {
  const chosen = context.draft.get('settings', 'cluster') ?? {}
  const merged = patchSettings(chosen, command.patch)
  const before = leaseBound(context.draft, context.settings)
  // The time of this entry is that of its proposal, and leases of the old length are given until it is applied.
  if (effectiveSettings(merged).lease < before)
    context.putMeta({ ...context.meta, formerLease: { ms: before, revision: context.index, until: null } })
  context.draft.put('settings', 'cluster', merged)
  context.event('settings.changed', 'settings', `settings were changed: ${Object.keys(command.patch).join(', ')}`, { patch: command.patch })
  return { revision: context.index }
}

/** Whoever proposes this has applied the entry that lowered the lease: what it gave of the old length, it gave before. */
export function countFormerLease(context: Context, command: CommandOf<'count-former-lease'>): Value {
  const { formerLease } = context.meta
  if (formerLease === null || formerLease.until !== null || formerLease.revision !== command.revision)
    return { ignored: 'there is no such lease to count' }
  const until = (context.at + (formerLease.ms + longestAfterLease(context) + 1_000) * (1 + clockDrift)) as LogTime
  context.putMeta({ ...context.meta, formerLease: { ...formerLease, until } })
  return { until }
}

/** What may go on after a lease has run out: an emergency stop, or a call to a fence device that began within it. Milliseconds. */
function longestAfterLease(context: Context): number {
  const stops = [...context.draft.rows('boots')].map(([, boot]) => boot.guard.emergencyStop)
  const calls = [...context.draft.rows('nodes')].map(([, node]) =>
    node.fencing.levels.flat().reduce((sum, device) => sum + device.timeout, 0),
  )
  const open = openCases(context.draft).flatMap((row) => row.attempts.map((attempt) => attempt.timeout))
  return Math.max(context.settings.emergencyStop, ...stops, ...calls, ...open)
}

/** All or nothing. Answers one result an operation. */
export function useStore(context: Context, command: CommandOf<'store'>): Value {
  const { storeValueMax } = context.settings
  const results = command.operations.map((operation) => {
    const found = context.draft.get('store', operation.key)
    switch (operation.kind) {
      case 'get':
        return found === undefined ? { key: operation.key, revision: 0 } : { key: operation.key, ...found }
      case 'check':
        checkRevision(found?.revision, { ifRevision: operation.revision }, `key ${operation.key}`)
        return { key: operation.key, revision: found?.revision ?? 0 }
      case 'put': {
        checkRevision(found?.revision, operation, `key ${operation.key}`)
        const size = sizeOf(operation.value, storeValueMax)
        if (size > storeValueMax) {
          refuse('TOO_LARGE', `the value of ${operation.key} has ${size} bytes`, {
            fix: `keep to ${storeValueMax} bytes (setting storeValueMax)`,
          })
        }
        context.draft.put('store', operation.key, { value: operation.value, revision: context.index })
        return { key: operation.key, revision: context.index }
      }
      case 'delete':
        if (found === undefined && operation.ifRevision === undefined) refuse('KEY_NOT_FOUND', `the store has no key "${operation.key}"`)
        checkRevision(found?.revision, operation, `key ${operation.key}`)
        context.draft.delete('store', operation.key)
        return { key: operation.key, revision: context.index, deleted: true }
    }
  })
  return { results, revision: context.index }
}

/** Length as JSON; of a text that cannot pass the limit, for a character takes six at most, an estimate that is less work. */
function sizeOf(value: unknown, limit: number): number {
  if (typeof value === 'string' && 6 * value.length + 2 <= limit) return value.length + 2
  return JSON.stringify(value)?.length ?? 0
}

export function startOperation(context: Context, command: CommandOf<'start-operation'>): Value {
  if (command.operationKind === 'fence' && context.node(command.subject).fencing.levels.length === 0) {
    refuse('CONFLICT', `${command.subject} has no fence device`, { fix: `PATCH /v1/nodes/${command.subject} with "fencing" first` })
  }
  context.startOperation(command.operation, command.operationKind, command.subject, command.detail)
  return { operation: command.operation }
}

export function cancelOperation(context: Context, command: CommandOf<'cancel-operation'>): Value {
  const row = context.draft.get('operations', command.operation)
  if (row === undefined) refuse('OPERATION_NOT_FOUND', `there is no operation "${command.operation}"`)
  if (row.status !== 'running') refuse('CONFLICT', `operation ${row.id} has ended: ${row.result ?? row.status}`)
  if (row.kind !== 'move') refuse('CONFLICT', `a ${row.kind} cannot be cancelled`, { fix: 'ask for the opposite instead' })
  const migration = context.draft.get('scalables', row.subject)?.migration
  if (migration?.operation === row.id) {
    if (migration.step !== 'asked') refuse('CONFLICT', `${row.subject} is being sent to ${migration.to}`, { fix: 'wait, and move it back' })
    context.endOperation(row.id, 'cancelled', 'cancelled: it was not sent yet')
    abandonMigration(context, row.subject as GroupName, 'it was cancelled')
    return { undone: 'it was not sent yet' }
  }
  const group = context.group(row.subject)
  if (group.move?.operation === row.id) context.putGroup({ ...group, move: null })
  const undone = group.move?.token === null ? 'it had not begun on the target' : 'the group stays where it was granted'
  context.endOperation(row.id, 'cancelled', `cancelled: ${undone}`)
  return { undone }
}
