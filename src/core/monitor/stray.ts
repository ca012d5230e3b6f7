/** Looks whether anything of a definition runs here that this monitor did not start, and ends it where it is told to. */
import type { BootId, GroupName, NodeId, ResourceName, Token } from '../../base/index.js'
import { type ResourceDefinition, startOrder } from '../cluster/index.js'
import type { MonitorEffect } from './events.js'
import type { MonitorOrder, MonitorReport, ResourceReport } from './protocol.js'
import type { ContainmentPlace } from './record.js'
import { behaviourOf, cellOf } from './resource-type.js'
import { judgeProbe, type MethodResult } from './verdict.js'

type ProbeOrder = Extract<MonitorOrder, { kind: 'probe' }>
type EndOrder = Extract<MonitorOrder, { kind: 'end-stray' }>
type Result = Extract<MonitorReport, { kind: 'probed' }>['result']

/** A node that returns probes all it could host at once; no more than this many agents run for that at a time. */
const inFlightMax = 8

interface Search {
  readonly order: ProbeOrder
  readonly resources: Record<ResourceName, ResourceReport>
  /** What is missing here. */
  readonly unable: string[]
  left: number
}

interface Question {
  readonly search: Search
  readonly resource: ResourceName
}

/** Stops what is left, the last started first, each by its own stop. */
interface Ending {
  readonly order: EndOrder
  readonly left: ResourceName[]
  action: number
  /** Asked meanwhile: what it finds then counts. */
  probe: ProbeOrder | undefined
}

export interface StrayHost {
  emit(effect: MonitorEffect): void
  newAction(): number
  readonly node: NodeId
  readonly boot: BootId
  readonly place: ContainmentPlace
}

export class StrayProbes {
  readonly #host: StrayHost
  readonly #waiting: Question[] = []
  readonly #asked = new Map<number, Question>()
  readonly #endings = new Map<GroupName, Ending>()

  constructor(host: StrayHost) {
    this.#host = host
  }

  order(order: ProbeOrder) {
    const ending = this.#endings.get(order.group)
    if (ending !== undefined) {
      ending.probe = order
      return
    }
    // Asked once more, for it waits its turn behind many: begun anew each time, it would never be answered.
    if (this.#isUnderWay(order)) return
    this.#abandonSearch(order.group, 'a newer probe took its place')
    const search: Search = { order, resources: {}, unable: [], left: 0 }
    for (const resource of startOrder(order.resources)) {
      const definition = order.resources[resource]
      if (definition === undefined || behaviourOf(definition).holdsNothing) {
        search.resources[resource] = { state: 'STOPPED' }
        continue
      }
      search.left++
      this.#waiting.push({ search, resource })
    }
    if (search.left === 0) this.#answer(search)
    this.#askNext()
  }

  /** One at a time of a group. What holds nothing has nothing to be stopped. */
  end(order: EndOrder) {
    if (this.#endings.has(order.group)) return
    this.#abandonSearch(order.group, 'what was found is being stopped')
    const left = startOrder(order.resources).filter((name) => {
      const definition = order.resources[name]
      return definition !== undefined && !behaviourOf(definition).holdsNothing
    })
    this.#host.emit({ kind: 'log', text: `stops a copy of ${order.group} that nobody granted here` })
    const ending: Ending = { order, left, action: 0, probe: undefined }
    this.#endings.set(order.group, ending)
    this.#endNext(ending)
  }

  #endNext(ending: Ending) {
    const { order, left, probe } = ending
    const resource = left.pop()
    const definition = resource === undefined ? undefined : order.resources[resource]
    if (resource === undefined || definition === undefined) {
      this.#endings.delete(order.group)
      if (probe !== undefined) this.order(probe)
      return
    }
    ending.action = this.#host.newAction()
    const { place } = this.#host
    // Of a kept process there is nothing but what its cell still holds.
    if (behaviourOf(definition).kept) this.#host.emit({ kind: 'kill', action: ending.action, group: order.group, resource, place })
    else this.#begin(order.group, resource, definition, 'stop', ending.action)
  }

  #endingOf(action: number): Ending | undefined {
    return [...this.#endings.values()].find((ending) => ending.action === action)
  }

  /** Whether the action was one of these. */
  onKilled(action: number): boolean {
    const ending = this.#endingOf(action)
    if (ending !== undefined) this.#endNext(ending)
    return ending !== undefined
  }

  /** Answers `unknown` for a search of this group that is under way, and breaks off what is being ended of it. */
  abandon(group: GroupName, detail: string) {
    const ending = this.#endings.get(group)
    this.#endings.delete(group)
    if (ending !== undefined) this.#host.emit({ kind: 'cancel', action: ending.action })
    this.#abandonSearch(group, detail)
  }

  #isUnderWay({ group, probeId }: ProbeOrder): boolean {
    const isOne = ({ search }: Question) => search.order.group === group && search.order.probeId === probeId
    return this.#waiting.some(isOne) || [...this.#asked.values()].some(isOne)
  }

  #abandonSearch(group: GroupName, detail: string) {
    const searches = new Set<Search>()
    for (const [action, question] of this.#asked) {
      if (question.search.order.group !== group) continue
      searches.add(question.search)
      this.#asked.delete(action)
      this.#host.emit({ kind: 'cancel', action })
      question.search.resources[question.resource] = { state: 'UNKNOWN', detail }
    }
    for (let at = this.#waiting.length - 1; at >= 0; at--) {
      const question = this.#waiting[at]
      if (question?.search.order.group !== group) continue
      searches.add(question.search)
      this.#waiting.splice(at, 1)
      question.search.resources[question.resource] = { state: 'UNKNOWN', detail }
    }
    for (const search of searches) this.#answer(search)
    this.#askNext()
  }

  /** Whether the action was one of these. */
  onMethodDone(action: number, result: MethodResult): boolean {
    const ending = this.#endingOf(action)
    if (ending !== undefined) {
      this.#endNext(ending)
      return true
    }
    const question = this.#asked.get(action)
    if (question === undefined) return false
    this.#asked.delete(action)
    const { search, resource } = question
    search.resources[resource] = judged(result)
    if (result.outcome === 'stopped' && result.unable === true) search.unable.push(`${resource}: ${result.note ?? 'it could not run'}`)
    search.left--
    if (search.left === 0) this.#answer(search)
    this.#askNext()
    return true
  }

  #askNext() {
    while (this.#asked.size < inFlightMax) {
      const question = this.#waiting.shift()
      if (question === undefined) return
      const { order } = question.search
      const definition = order.resources[question.resource]
      if (definition === undefined) continue
      const action = this.#host.newAction()
      this.#asked.set(action, question)
      this.#begin(order.group, question.resource, definition, 'probe', action)
    }
  }

  #begin(group: GroupName, resource: ResourceName, definition: ResourceDefinition, method: 'probe' | 'stop', action: number) {
    const { node, boot, place } = this.#host
    const { timeout } = definition[method]
    const whose = cellOf(definition, node)
    const request = {
      group,
      token: 0 as Token,
      node,
      boot,
      resource,
      place,
      ...whose,
      definition,
      method,
      timeout,
      processes: [],
      urgency: 'soon' as const,
    }
    this.#host.emit({ kind: 'begin', action, request })
  }

  #answer(search: Search) {
    const { group, probeId } = search.order
    const result = resultOf(search.resources)
    const unable = result === 'clean' && search.unable.length > 0 ? { unable: search.unable.join('; ') } : {}
    this.#host.emit({ kind: 'report', report: { kind: 'probed', group, probeId, result, ...unable, resources: search.resources } })
  }
}

function judged(result: MethodResult): ResourceReport {
  const verdict = judgeProbe('stray', result)
  if (verdict.verdict === 'running') return { state: 'ONLINE' }
  if (verdict.verdict === 'stopped') return { state: 'STOPPED' }
  return { state: 'UNKNOWN', detail: 'detail' in verdict ? verdict.detail : 'its probe was interrupted' }
}

/** A copy that certainly runs matters more than a resource of which nobody knows. */
export function resultOf(resources: { readonly [name: ResourceName]: ResourceReport }): Result {
  const states = Object.values(resources).map((report) => report.state)
  if (states.some((state) => state !== 'STOPPED' && state !== 'UNKNOWN')) return 'running'
  return states.includes('UNKNOWN') ? 'unknown' : 'clean'
}
