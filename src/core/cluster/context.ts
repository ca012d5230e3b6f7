/** What a command handler works with: the draft it changes, the time and place in the log, and the journal. */
import {
  ClusterError,
  type ErrorCode,
  type ErrorExtra,
  type GroupName,
  type LogIndex,
  type LogTime,
  type NodeId,
  type Settings,
  type Term,
  type WallTime,
} from '../../base/index.js'
import type { BootRow, CaseRow, DecisionRow, GroupRow, MetaRow, NodeRow, OperationRow } from './rows.js'
import { bootKey, currentBoot, Draft, metaOf, type Reader, settingsOf } from './state.js'

const operationsKept = 500

export class Context {
  draft: Draft
  readonly index: LogIndex
  readonly term: Term
  readonly at: LogTime
  readonly wall: WallTime
  private eventNumber = 0
  private decisionNumber = 0

  constructor(reader: Reader, place: { readonly index: LogIndex; readonly term: Term; readonly at: LogTime; readonly wall: WallTime }) {
    this.draft = new Draft(reader)
    this.index = place.index
    this.term = place.term
    const meta = metaOf(reader)
    this.at = Math.max(meta.logTime, place.at) as LogTime // Never goes back.
    this.wall = place.wall
    this.putMeta(isOrdinary(meta) ? copyAt(meta, this.at, place.wall) : { ...meta, logTime: this.at, wall: place.wall })
  }

  get meta(): MetaRow {
    return metaOf(this.draft)
  }

  get settings(): Settings {
    return settingsOf(this.draft)
  }

  putMeta(row: MetaRow): void {
    this.draft.put('meta', 'cluster', row)
  }

  /** Errors: NODE_NOT_FOUND. */
  node(name: string): NodeRow {
    return (
      this.draft.get('nodes', name) ?? refuse('NODE_NOT_FOUND', `the cluster has no node "${name}"`, { fix: 'GET /v1/nodes lists them' })
    )
  }

  /** Errors: GROUP_NOT_FOUND. */
  group(name: string): GroupRow {
    return this.draft.get('groups', name) ?? refuse('GROUP_NOT_FOUND', `there is no group "${name}"`, { fix: 'GET /v1/groups lists them' })
  }

  /** Errors: CASE_NOT_FOUND. */
  case(id: string): CaseRow {
    return this.draft.get('cases', id) ?? refuse('CASE_NOT_FOUND', `there is no case "${id}"`, { fix: 'GET /v1/cases lists them' })
  }

  boot(node: string, boot: string): BootRow | undefined {
    return this.draft.get('boots', bootKey(node, boot))
  }

  currentBoot(node: NodeId): BootRow | undefined {
    return currentBoot(this.draft, node)
  }

  putNode(row: NodeRow): void {
    this.draft.put('nodes', row.name, row)
  }

  putBoot(row: BootRow): void {
    this.draft.put('boots', bootKey(row.node, row.boot), row)
  }

  putGroup(row: GroupRow): void {
    this.draft.put('groups', row.name, row)
  }

  putCase(row: CaseRow): void {
    this.draft.put('cases', row.id, row)
  }

  groups(): readonly GroupRow[] {
    return [...this.draft.rows('groups')].map(([, row]) => row)
  }

  /** Writes the journal; the oldest events go when there are more than `journalEvents`. */
  event(kind: string, subject: string, text: string, data: Readonly<Record<string, unknown>> = {}): void {
    const number = this.eventNumber++
    this.draft.put('journal', journalKey(this.index, number), {
      revision: this.index,
      number,
      at: this.at,
      wall: this.wall,
      kind,
      subject,
      text,
      data,
    })
    const rows = this.meta.journalRows + 1
    this.putMeta({ ...this.meta, journalRows: rows })
    if (rows > this.settings.journalEvents) this.trimJournal(rows - this.settings.journalEvents)
  }

  private trimJournal(surplus: number): void {
    let left = surplus
    let from = this.meta.journalFrom
    const gone: string[] = []
    for (const [key, row] of this.draft.rows('journal')) {
      if (left-- <= 0) {
        from = row.revision
        break
      }
      gone.push(key)
    }
    for (const key of gone) this.draft.delete('journal', key)
    this.putMeta({
      ...this.meta,
      journalRows: this.meta.journalRows - gone.length,
      journalFrom: Math.max(this.meta.journalFrom, from) as LogIndex,
    })
  }

  decision(record: Omit<DecisionRow, 'id' | 'at' | 'wall'>): string {
    const id = `d${padded(this.index)}-${this.decisionNumber++}`
    this.draft.put('decisions', id, { ...record, id, at: this.at, wall: this.wall })
    let rows = this.meta.decisionRows + 1
    for (const [key] of this.draft.rows('decisions')) {
      if (rows <= this.settings.decisionsKept) break
      this.draft.delete('decisions', key)
      rows--
    }
    this.putMeta({ ...this.meta, decisionRows: rows })
    return id
  }

  startOperation(id: string, kind: OperationRow['kind'], subject: string, detail: string): void {
    this.draft.put('operations', id, { id, kind, subject, detail, status: 'running', result: null, startedAt: this.at, endedAt: null })
    const rows = [...this.draft.rows('operations')]
    if (rows.length <= operationsKept) return
    const oldest = rows.filter(([, row]) => row.status !== 'running').sort(([, a], [, b]) => (a.endedAt ?? 0) - (b.endedAt ?? 0))
    for (const [key] of oldest.slice(0, rows.length - operationsKept)) this.draft.delete('operations', key)
  }

  endOperation(id: string, status: 'done' | 'failed' | 'cancelled', result: string): void {
    const row = this.draft.get('operations', id)
    if (row === undefined || row.status !== 'running') return
    this.draft.put('operations', id, { ...row, status, result, endedAt: this.at })
    this.event(`operation.${status}`, row.subject, `${row.kind} ${row.subject}: ${result}`, { operation: id })
  }

  runningOperations(subject: string): readonly OperationRow[] {
    return [...this.draft.rows('operations')].map(([, row]) => row).filter((row) => row.status === 'running' && row.subject === subject)
  }
}

/** In the order in which they are written. */
const metaFields: readonly (keyof MetaRow)[] = [
  'clusterName',
  'epoch',
  'level',
  'logTime',
  'wall',
  'journalFrom',
  'journalRows',
  'decisionRows',
  'configRevision',
  'formerLease',
]

/** It has just these fields in this order: a copy by name is then the copy that a spread is, down to its bytes in the store. */
function isOrdinary(meta: MetaRow): boolean {
  let fields = 0
  for (const name in meta) if (name !== metaFields[fields++]) return false
  return fields === metaFields.length
}

/** Every entry does this, and a spread of so many fields takes the engine ten times as long. */
function copyAt(meta: MetaRow, logTime: LogTime, wall: WallTime): MetaRow {
  return {
    clusterName: meta.clusterName,
    epoch: meta.epoch,
    level: meta.level,
    logTime,
    wall,
    journalFrom: meta.journalFrom,
    journalRows: meta.journalRows,
    decisionRows: meta.decisionRows,
    configRevision: meta.configRevision,
    formerLease: meta.formerLease,
  }
}

export const padded = (index: number): string => String(index).padStart(16, '0')
export const journalKey = (index: number, number: number): string => `${padded(index)}.${String(number).padStart(5, '0')}`

/** Ends the command with an operating error: the log keeps it as the command's result, and nothing changes. */
export function refuse(code: ErrorCode, detail: string, extra: ErrorExtra = {}): never {
  throw new ClusterError(code, detail, extra)
}

export function checkRevision(
  found: number | undefined,
  precondition: { readonly ifRevision?: number; readonly ifAbsent?: boolean },
  what: string,
): void {
  if (precondition.ifAbsent === true && found !== undefined) {
    refuse('REVISION_MISMATCH', `${what} exists already, at revision ${found}`, {
      fix: 'leave out If-None-Match to replace it',
      facts: { revision: found },
    })
  }
  if (precondition.ifRevision !== undefined && precondition.ifRevision !== (found ?? 0)) {
    refuse('REVISION_MISMATCH', `${what} is at revision ${found ?? 0}, the request expects ${precondition.ifRevision}`, {
      fix: 'read it again and repeat the change on what you find',
      facts: { revision: found ?? 0, expected: precondition.ifRevision },
    })
  }
}

export type { GroupName, NodeId }
