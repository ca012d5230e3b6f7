/**
 * The replicated state machine: a state, an entry → what changes.
 *
 * Deterministic (P2, P7): time comes in with the entry, order comes from the tables, and an operating error is a result
 * like any other, the same on every member. So is a mistake of our own: a command that meets one is refused everywhere and
 * changes nothing, for a member that stopped at it would stop there again after every start, and all others with it.
 */
import { ClusterError, type ErrorCode, type LogIndex, type LogTime, logTime, type PlainError, type Term } from '../../base/index.js'
import * as brakes from './brakes.js'
import * as cases from './cases.js'
import * as checkpoints from './checkpoints.js'
import type { Command, Envelope } from './commands.js'
import { Context, padded, refuse } from './context.js'
import * as disks from './disks.js'
import { BeyondThisVersion } from './features.js'
import * as freezes from './freezes.js'
import * as groups from './groups.js'
import * as members from './members.js'
import * as nodes from './nodes.js'
import * as notes from './notes.js'
import * as notices from './notices.js'
import * as ownership from './ownership.js'
import * as quarantine from './quarantine.js'
import { recover } from './recovery.js'
import type { CommandResult, EventRow, RequestRow } from './rows.js'
import { type Change, Draft, metaOf, type Reader } from './state.js'
import * as values from './values.js'
import { settleScalable } from './whole.js'

export interface Applied {
  readonly result: CommandResult
  readonly changes: readonly Change[]
  /** What this entry wrote to the journal. */
  readonly events: readonly EventRow[]
  /** A mistake of this software that the command met: for the log of this process, not for the state. */
  readonly fault?: unknown
}

const expiriesPerEntry = 8

export function apply(state: Reader, place: { readonly index: LogIndex; readonly term: Term }, envelope: Envelope): Applied {
  const kept = envelope.fingerprint === undefined ? undefined : state.get('requests', `id/${envelope.requestId}`)
  const context = new Context(state, { index: place.index, term: place.term, at: envelope.at, wall: envelope.wall })
  const faults: unknown[] = []
  const result = kept === undefined ? attempt(context, envelope.command, faults) : repeated(context, kept, envelope)
  if (changesConfiguration(context)) context.putMeta({ ...context.meta, configRevision: context.index })
  if (envelope.fingerprint !== undefined && kept === undefined) remember(context, envelope, result)
  expireRequests(context)
  const changes = context.draft.changes()
  const events = changes
    .filter((change) => change.table === 'journal' && change.value !== undefined)
    .map((change) => change.value as EventRow)
  return faults.length === 0 ? { result, changes, events } : { result, changes, events, fault: faults[0] }
}

/** Whether the command would be carried out now, and what it would change. Nothing is recorded. */
export function tryApply(state: Reader, place: { readonly index: LogIndex; readonly term: Term }, command: Command): Applied {
  const meta = metaOf(state)
  return apply(state, place, { requestId: 'dry-run' as Envelope['requestId'], at: meta.logTime, wall: meta.wall, command })
}

/** A command that is refused changes nothing. */
function attempt(context: Context, command: Command, faults: unknown[]): CommandResult {
  const outer = context.draft
  context.draft = new Draft(outer)
  try {
    const value = carryOut(context, command)
    outer.absorb(context.draft)
    return { ok: true, index: context.index, value }
  } catch (error) {
    if (error instanceof BeyondThisVersion || isOfThisMachine(error)) throw error
    context.draft = outer
    if (error instanceof ClusterError) return { ok: false, index: context.index, error: error.toPlain() }
    faults.push(error)
    return { ok: false, index: context.index, error: faultOf(context, command) }
  } finally {
    context.draft = outer
  }
}

/** Room for memory or calls that ended here may not have ended elsewhere: better that this member stops than that it differs. */
function isOfThisMachine(error: unknown): boolean {
  return error instanceof RangeError || (error instanceof Error && !(error instanceof ClusterError) && 'code' in error)
}

/** In words that are the same on every member, whatever its engine says of the mistake. */
function faultOf(context: Context, { kind }: Command): PlainError {
  const text = `"${kind}" met a mistake of this software at index ${context.index} and was not carried out`
  context.event('alarm.fault', kind, text)
  return new ClusterError('INTERNAL', text, { fix: 'nothing was changed; the logs of the daemons have the place: report it' }).toPlain()
}

function carryOut(context: Context, command: Command): Record<string, unknown> {
  switch (command.kind) {
    case 'form':
      return nodes.form(context, command)
    case 'register-boot':
      return nodes.registerBoot(context, command)
    case 'probed':
      return nodes.probed(context, command)
    case 'patch-node':
      return nodes.patchNode(context, command)
    case 'set-duty':
      return nodes.setDuty(context, command)
    case 'clear-node':
      return nodes.clearNode(context, command)
    case 'note-attributes':
      return notes.noteAttributes(context, command)
    case 'note-monitor':
      return nodes.noteMonitor(context, command)
    case 'maintain-node':
      return settled(context, freezes.maintainNode(context, command))
    case 'end-maintenance':
      return freezes.endMaintenance(context, command)
    case 'guardian-suspended':
      return freezes.guardianSuspended(context, command)
    case 'attach-guardian':
      return freezes.attachGuardian(context, command)
    case 'end-quarantine':
      return quarantine.endQuarantine(context, command)
    case 'see-links':
      return nodes.seeLinks(context, command)
    case 'release-brakes':
      return brakes.releaseBrakes(context, command)
    case 'leave':
      return nodes.leave(context, command)
    case 'come-back':
      return nodes.comeBack(context, command)
    case 'doubt-device':
      return nodes.doubtDevice(context, command)
    case 'mark-state':
      return {}
    case 'recover':
      return recover(context, command)
    case 'raise-level':
      return members.raiseLevel(context, command)
    case 'invite':
      return members.invite(context, command)
    case 'admit':
      return members.admit(context, command)
    case 'want-member':
      return members.wantMember(context, command)
    case 'settle-members':
      return members.settleMembers(context, command)
    case 'put-group':
      return groups.putGroup(context, command)
    case 'delete-group':
      return groups.deleteGroup(context, command)
    case 'set-intent':
      return groups.setIntent(context, command)
    case 'move-group':
      return groups.moveGroup(context, command)
    case 'restart-group':
      return groups.restartGroup(context, command)
    case 'restart-resource':
      return groups.restartResource(context, command)
    case 'note-action':
      return groups.noteAction(context, command)
    case 'freeze-group':
      return settled(context, freezes.freezeGroup(context, command))
    case 'unfreeze-group':
      return freezes.unfreezeGroup(context, command)
    case 'clear-group':
      return groups.clearGroup(context, command)
    case 'transaction': {
      if (command.ifRevision !== null && command.ifRevision !== configRevision(context.draft)) {
        refuse(
          'REVISION_MISMATCH',
          `the configuration is at revision ${configRevision(context.draft)}, the request expects ${command.ifRevision}`,
          {
            fix: 'plan again on the present configuration',
          },
        )
      }
      return { results: command.commands.map((inner) => carryOut(context, inner)) }
    }
    case 'decide':
      return ownership.decide(context, command)
    case 'report':
      return ownership.report(context, command)
    case 'noticed':
      return notices.noticed(context, command)
    case 'released':
      return ownership.released(context, command)
    case 'void-proof':
      return ownership.voidProof(context, command)
    case 'open-case':
      return cases.openCase(context, command)
    case 'register-nonce':
      return cases.registerNonce(context, command)
    case 'close-case':
      return cases.closeCase(context, command)
    case 'condemn':
      return cases.condemn(context, command)
    case 'attempt':
      return cases.attempt(context, command)
    case 'attempt-result':
      return cases.attemptResult(context, command)
    case 'abandon-attempt':
      return cases.abandonAttempt(context, command)
    case 'recover-case':
      return cases.recoverCase(context, command)
    case 'readmit':
      return cases.readmit(context, command)
    case 'guardian-proof':
      return cases.guardianProof(context, command)
    case 'lease-proof':
      return cases.leaseProof(context, command)
    case 'operator-proof':
      return cases.operatorProof(context, command)
    case 'put-disk':
      return disks.putDisk(context, command)
    case 'delete-disk':
      return disks.deleteDisk(context, command)
    case 'disk-state':
      return disks.diskState(context, command)
    case 'disk-answer':
      return disks.diskAnswer(context, command)
    case 'patch-settings':
      return values.changeSettings(context, command)
    case 'count-former-lease':
      return values.countFormerLease(context, command)
    case 'store':
      return values.useStore(context, command)
    case 'put-checkpoint':
      return checkpoints.putCheckpoint(context, command)
    case 'put-checkpoint-part':
      return checkpoints.putCheckpointPart(context, command)
    case 'start-operation':
      return values.startOperation(context, command)
    case 'cancel-operation':
      return values.cancelOperation(context, command)
    default:
      return unknown(command)
  }
}

/** Kinds are checked by the compiler; one that is not among them was written by a later version. */
function unknown(command: never): never {
  const { kind } = command as { readonly kind?: unknown }
  throw new BeyondThisVersion(`the log has a command "${String(kind)}" that this version does not know`)
}

/** Index of the entry that last changed what an administrator writes. */
export function configRevision(reader: Reader): LogIndex {
  return metaOf(reader).configRevision
}

/** What is frozen comes no further: whoever waits for the rest of a group that runs on several nodes waits no longer. */
function settled(context: Context, value: Record<string, unknown>): Record<string, unknown> {
  for (const [, { name }] of [...context.draft.rows('scalables')]) settleScalable(context, name)
  return value
}

function changesConfiguration(context: Context): boolean {
  return context.draft.changes().some(({ table, value }) => {
    if (table === 'settings' || table === 'disks') return true
    return (
      (table === 'groups' || table === 'scalables' || table === 'nodes') &&
      (value as { revision?: LogIndex } | undefined)?.revision === context.index
    )
  })
}

function repeated(context: Context, kept: RequestRow, envelope: Envelope): CommandResult {
  if (kept.fingerprint === envelope.fingerprint) return kept.result
  const text = `the key ${envelope.requestId} was used for another request`
  return {
    ok: false,
    index: context.index,
    error: new ClusterError('IDEMPOTENCY_MISMATCH' satisfies ErrorCode, text, { fix: 'take a new key for a new request' }).toPlain(),
  }
}

function remember(context: Context, envelope: Envelope, result: CommandResult): void {
  const row: RequestRow = { at: context.at, fingerprint: envelope.fingerprint ?? null, result }
  context.draft.put('requests', `id/${envelope.requestId}`, row)
  context.draft.put('requests', `time/${padded(context.at)}/${envelope.requestId}`, {
    ...row,
    result: { ok: true, index: context.index, value: {} },
  })
}

/** By log time, a few an entry, the same ones on every member (thesis §6.3). */
function expireRequests(context: Context): void {
  const before = logTime(context.at - context.settings.idempotencyWindow) as LogTime
  if (earliestRequest(context) >= before) return
  const gone: string[] = []
  for (const [key, row] of context.draft.rows('requests', 'time/')) {
    if (row.at >= before || gone.length >= expiriesPerEntry) break
    gone.push(key)
  }
  for (const key of gone) {
    context.draft.delete('requests', key)
    context.draft.delete('requests', `id/${key.split('/').slice(2).join('/')}`)
  }
}

/** Infinity where none is kept. Looked up anew only when the table has changed. */
function earliestRequest({ draft }: Context): number {
  return draft.derived('requests', 'earliest', () => {
    for (const [, row] of draft.rows('requests', 'time/')) return row.at
    return Number.POSITIVE_INFINITY
  })
}
