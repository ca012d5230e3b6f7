/** The run records: one file per group that may be running here, named after group and token so that even an unreadable one says which it was. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { GroupName, Token } from '../../base/index.js'
import type { RunRecord, UnreadableRecord } from '../../core/monitor/index.js'
import { readChecked, writeChecked } from './atomic-file.js'
import { namesIn } from './seals.js'

export interface RunRecords {
  readonly readable: readonly RunRecord[]
  readonly unreadable: readonly UnreadableRecord[]
}

export function writeRunRecord(folder: string, record: RunRecord): void {
  writeChecked(join(folder, `${record.group}@${record.token}`), record)
}

export function deleteRunRecord(folder: string, group: GroupName, token: Token): void {
  rmSync(join(folder, `${group}@${token}`), { force: true })
}

export function readRunRecords(folder: string): RunRecords {
  const readable: RunRecord[] = []
  const unreadable: UnreadableRecord[] = []
  for (const name of namesIn(folder)) {
    const [group, token] = splitName(name)
    const file = readChecked(join(folder, name))
    if (file.kind === 'missing') continue // Deleted since the folder was listed.
    if (file.kind === 'read' && isRecordOf(file.value, group, token)) readable.push(file.value)
    else unreadable.push({ group, token, reason: `its run record ${name} cannot be read` })
  }
  return { readable, unreadable }
}

/** Undefined where it is missing or cannot be read. */
export function readRunRecord(folder: string, group: GroupName, token: Token): RunRecord | undefined {
  const file = readChecked(join(folder, `${group}@${token}`))
  return file.kind === 'read' && isRecordOf(file.value, group, token) ? file.value : undefined
}

/** The open tokens, by the names of the files alone. */
export function openTokens(folder: string): ReadonlyMap<GroupName, Token> {
  return new Map(namesIn(folder).map(splitName))
}

function splitName(name: string): [GroupName, Token] {
  const at = name.lastIndexOf('@')
  return [name.slice(0, at) as GroupName, Number(name.slice(at + 1)) as Token]
}

function isRecordOf(value: unknown, group: GroupName, token: Token): value is RunRecord {
  if (typeof value !== 'object' || value === null) return false
  const record = value as Partial<RunRecord>
  return record.group === group && record.token === token && typeof record.resources === 'object' && typeof record.progress === 'object'
}
