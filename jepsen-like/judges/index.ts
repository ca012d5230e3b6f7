/** Verdicts on a run, from its record alone: whoever has the files can judge again. */
import { checkLinearizable, type Header, type HistoryEvent, type Json } from '../checkers/index.js'
import { calm, convergence, events, faultless, leaks, once } from './others.js'
import {
  addressGaps,
  checkpoints,
  gaps,
  noLateOwner,
  noNeedlessAction,
  oneAnswerer,
  oneOwner,
  proofBeforeGrant,
  takeovers,
} from './owner.js'
import type { Judge, RunRecord, Verdict } from './record.js'

export { type Copy, copiesOf } from './owner.js'
export {
  completed,
  type Done,
  type Judge,
  type Note,
  type Pressure,
  type RunRecord,
  type SeenEvent,
  type Stall,
  starvedShare,
  type Verdict,
} from './record.js'

export interface JudgeOptions {
  readonly workloads: readonly {
    readonly name: string
    readonly linearizable?: { readonly header: Header; readonly operations: ReadonlySet<string> }
    readonly judges?: readonly string[]
  }[]
  /** Name of the group of the service. */
  readonly group: string
  /** Within which a crashed node's service is up elsewhere, in milliseconds. */
  readonly takeoverBound: number
  /** Within which all is well after the last fault. */
  readonly wellBound: number
  /** Seconds for each history. */
  readonly limit: number
}

export function judgeRun(record: RunRecord, options: JudgeOptions): readonly Verdict[] {
  const named: Readonly<Record<string, Judge>> = {
    'one-owner': oneOwner,
    'no-late-owner': noLateOwner,
    checkpoints,
    takeovers: takeovers(options.takeoverBound),
    gaps: gaps(options.wellBound),
    'address-gaps': addressGaps(options.wellBound),
    'one-answerer': oneAnswerer(options.group),
    'no-needless-action': noNeedlessAction,
    'proof-before-grant': proofBeforeGrant(options.group),
    events,
    once,
  }
  const verdicts: Verdict[] = []
  for (const { name, linearizable, judges = [] } of options.workloads) {
    if (linearizable !== undefined) verdicts.push(judgeHistory(record, name, linearizable, options.limit))
    for (const judge of judges) verdicts.push({ ...(named[judge] as Judge)(record), workload: name })
  }
  return [...verdicts, convergence(options.wellBound)(record), faultless(record), calm(record), leaks(record)]
}

/** What `jepsen-like/check` can judge again: header and events. */
export function historyOf(record: RunRecord, workload: string, operations: ReadonlySet<string>): readonly HistoryEvent[] {
  return record.events
    .filter((event) => event.workload === workload && operations.has(event.f))
    .map(({ process, type, f, key, value, time }) => ({
      process,
      type,
      f,
      ...(key === undefined ? {} : { key }),
      ...(value === undefined ? {} : { value }),
      time,
    }))
}

function judgeHistory(
  record: RunRecord,
  workload: string,
  { header, operations }: { readonly header: Header; readonly operations: ReadonlySet<string> },
  limit: number,
): Verdict {
  const history = historyOf(record, workload, operations)
  const judge = 'linearizable'
  const done = history.filter(({ type }) => type === 'ok').length
  const figures = {
    operations: history.filter(({ type }) => type === 'invoke').length,
    ok: done,
    unknown: history.filter(({ type }) => type === 'info').length,
  }
  if (done < 10) return { judge, workload, valid: 'unknown', text: `only ${done} operations succeeded`, figures }
  const verdict = checkLinearizable(history, header, { seconds: limit })
  if (verdict.linearizable === true)
    return { judge, workload, valid: true, text: `${figures.operations} operations, ${figures.unknown} of unknown outcome`, figures }
  if (verdict.linearizable === 'unknown') return { judge, workload, valid: 'unknown', text: verdict.witness.reason, figures }
  const { text, ...witness } = verdict.witness
  return { judge, workload, valid: false, text, offending: [witness as unknown as Json], figures }
}
