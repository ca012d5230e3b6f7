/** Groups that run on several nodes, as one: what the API shows of them is made of their parts. */
import { type GroupRow, groupsOf, isUpAsWanted, mayStillRun, partRows, type Reader, type ScalableRow } from '../../core/cluster/index.js'
import { writtenForm } from '../cluster/definition.js'
import type { View } from '../cluster/reading.js'
import type { GroupState } from '../schemas/index.js'
import { presentPoison } from './failures.js'
import { holdersOf, presentGroup } from './group.js'

type Shown = Record<string, unknown>

/** Everything that people define, by name: parts are shown with their whole. */
export function presentGroups(view: View): readonly Shown[] {
  const alone = groupsOf(view.state).filter(({ part }) => part === undefined)
  const shown: readonly (readonly [string, Shown])[] = [
    ...alone.map((group) => [group.name, presentGroup(view, group)] as const),
    ...scalablesOf(view.state).map((row) => [row.name, presentScalable(view, row)] as const),
  ]
  return [...shown].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, one]) => one)
}

export function scalablesOf(state: Reader): readonly ScalableRow[] {
  return [...state.rows('scalables')].map(([, row]) => row)
}

/** As in status and in lists. */
export function presentScalable(view: View, row: ScalableRow): Shown {
  const parts = partRows(view.state, row.name)
  const shown = parts.map((part) => ({ part, ...presentGroup(view, part) }) as PartShown)
  const primary = parts.find(({ part }) => part?.role === 'primary')
  const waits = shown.filter(({ waitingFor }) => waitingFor !== null).map(({ name, waitingFor }) => `${name}: ${waitingFor}`)
  return {
    name: row.name,
    mode: 'scalable',
    state: stateOf(row, parts, shown),
    intent: row.intent,
    desired: row.definition.desired,
    holders: parts.filter(({ part }) => part?.role === 'instance').flatMap((part) => holdersOf(view.state, part)),
    ...(row.definition.primary === undefined
      ? {}
      : { primary: primary === undefined ? null : (holdersOf(view.state, primary)[0] ?? null) }),
    ...(row.migration === undefined ? {} : { migration: { from: row.migration.from, to: row.migration.to, step: row.migration.step } }),
    waitingFor: waits.length === 0 ? null : waits.join('; '),
    frozen: shown.find(({ frozen }) => frozen !== null)?.frozen ?? null,
    maintenance: shown.find(({ maintenance }) => maintenance !== null)?.maintenance ?? null,
  }
}

interface PartShown {
  readonly part: GroupRow
  readonly name: string
  readonly state: GroupState
  readonly waitingFor: string | null
  readonly frozen: unknown
  readonly maintenance: unknown
}

/** What is wrong with a part is said where nothing of the whole runs, or its primary does not. */
const troubles: readonly GroupState[] = ['UNKNOWN', 'POISON', 'FAILED', 'BLOCKED']

function stateOf(row: ScalableRow, parts: readonly GroupRow[], shown: readonly PartShown[]): GroupState {
  const isAny = parts.some((part) => mayStillRun(part))
  if (row.intent === 'OFFLINE' || row.deleting) return isAny ? 'STOPPING' : 'OFFLINE'
  const well = (state: GroupState) => state === 'ONLINE' || state === 'DEGRADED'
  const instances = shown.filter(({ part }) => part.part?.role === 'instance')
  const primary = shown.find(({ part }) => part.part?.role === 'primary')
  const up = instances.filter(({ state }) => well(state)).length
  if (up > 0 && (primary === undefined || well(primary.state))) {
    const isWhole = isUpAsWanted(row, parts) && !instances.some(({ state }) => state === 'DEGRADED' || state === 'UNKNOWN')
    return isWhole ? 'ONLINE' : 'DEGRADED'
  }
  const judged = up > 0 && primary !== undefined ? [primary] : instances
  return troubles.find((trouble) => judged.some(({ state }) => state === trouble)) ?? 'STARTING'
}

/** Everything about one. Its parts have their own names: GET /v1/groups/{name}:{node}, and {name}:primary. */
export function presentScalableWhole(view: View, row: ScalableRow): Shown {
  const parts = partRows(view.state, row.name)
  const scores = (part: GroupRow) => (mayStillRun(part) ? part.holder.report.scores : undefined)
  return {
    ...presentScalable(view, row),
    revision: row.revision,
    definition: writtenForm(row.definition),
    poison: presentPoison(row, view.at),
    parts: parts.map((part) => ({
      ...presentGroup(view, part),
      role: part.part?.role,
      ...(scores(part) === undefined ? {} : { scores: scores(part) }),
    })),
    deleting: row.deleting,
  }
}
