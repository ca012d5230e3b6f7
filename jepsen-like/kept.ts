/** A run as files: what was asked for, the history, the journals, and for each workload what `jepsen-like/check` judges. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bandsOf, readHistory, writeHistory } from './core/index.js'
import { historyOf, type RunRecord } from './judges/index.js'
import type { Workload } from './workloads/index.js'

export interface Kept {
  readonly began: string
  /** Gives the same schedule again. */
  readonly command: string
  readonly nodes: number
  /** Where they are not n1, n2 and so on. */
  readonly names?: readonly string[]
  /** Of the service, where it is not the harness's own. */
  readonly group?: string
  readonly seconds: number
  readonly seed: number
  readonly workloads: readonly string[]
}

export function writeRun(folder: string, kept: Kept, record: RunRecord, workloads: readonly Workload[]): void {
  const { events, bands: _bands, mayStop, ...rest } = record
  writeFileSync(join(folder, 'history.jsonl'), writeHistory(events))
  writeFileSync(join(folder, 'run.json'), `${JSON.stringify({ ...kept, record: { ...rest, mayStop: [...mayStop] } })}\n`)
  for (const { name, linearizable } of workloads) {
    if (linearizable === undefined) continue
    const lines = [linearizable.header, ...historyOf(record, name, linearizable.operations)]
    writeFileSync(join(folder, `${name}.jsonl`), lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
  }
}

export function readRun(folder: string): { readonly kept: Kept; readonly record: RunRecord } {
  const { record, ...kept } = JSON.parse(readFileSync(join(folder, 'run.json'), 'utf8')) as Kept & {
    readonly record: Record<string, unknown>
  }
  const events = readHistory(readFileSync(join(folder, 'history.jsonl'), 'utf8'))
  return {
    kept,
    record: {
      wellAfter: undefined,
      notWell: undefined,
      ...record,
      events,
      bands: bandsOf(events),
      mayStop: new Set(record.mayStop as string[]),
    } as unknown as RunRecord,
  }
}
