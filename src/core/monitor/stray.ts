/** Looks whether anything of a definition runs here that this monitor did not start. Changes nothing. */
import type { BootId, GroupName, NodeId, ResourceName, Token } from '../../base/index.js'
import { startOrder } from '../cluster/index.js'
import type { MonitorEffect } from './events.js'
import type { MonitorOrder, MonitorReport, ResourceReport } from './protocol.js'
import type { ContainmentPlace } from './record.js'
import { behaviourOf } from './resource-type.js'
import { judgeProbe, type MethodResult } from './verdict.js'

type ProbeOrder = Extract<MonitorOrder, { kind: 'probe' }>
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

  constructor(host: StrayHost) {
    this.#host = host
  }

  order(order: ProbeOrder) {
    this.abandon(order.group, 'a newer probe took its place')
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

  /** Answers `unknown` for a search of this group that is under way. */
  abandon(group: GroupName, detail: string) {
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
      this.#host.emit({
        kind: 'begin',
        action,
        request: {
          group: order.group,
          token: 0 as Token,
          node: this.#host.node,
          boot: this.#host.boot,
          resource: question.resource,
          place: this.#host.place,
          definition,
          method: 'probe',
          timeout: definition.probe.timeout,
          processes: [],
        },
        deadline: 0 as never,
      })
    }
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
