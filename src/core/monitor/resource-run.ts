/** What the monitor knows of one resource of a group that it runs. Only `GroupRun` changes it. */
import type { BootInstant, ResourceName } from '../../base/index.js'
import type { ResourceDefinition } from '../cluster/index.js'
import type { ResourceFailure, ResourceReport, ResourceRunState } from './protocol.js'
import type { ProcessIdentity, ResourceRecord } from './record.js'
import { behaviourOf, type ResourceBehaviour } from './resource-type.js'
import type { ProbePurpose } from './verdict.js'

/** The one thing that is being done with a resource: never two at once. */
export type Activity =
  | { readonly kind: 'start' | 'settle' | 'stop' | 'kill' | 'verify'; readonly action: number; cancelled: boolean }
  | { readonly kind: 'probe'; readonly action: number; readonly purpose: ProbePurpose; cancelled: boolean }

export interface ResourceRun {
  readonly name: ResourceName
  readonly definition: ResourceDefinition
  readonly behaviour: ResourceBehaviour
  /** Names of the resources of this group that need this one. */
  readonly dependents: readonly ResourceName[]
  state: ResourceRunState
  detail: string | undefined
  touched: boolean
  escaped: boolean
  processes: readonly ProcessIdentity[]
  starting: ProcessIdentity | undefined
  failure: Pick<ResourceFailure, 'event' | 'detail'> | undefined
  activity: Activity | undefined
  /** When to probe next, and why; meaningful while ONLINE. */
  probeAt: BootInstant
  probePurpose: 'periodic' | 'death' | 'adopted'
  onlineSince: BootInstant
  /** Its main processes have outlived the start for long enough that their end means its death, without a probe. */
  proven: boolean
  /** What went wrong with the stop that is now being made up for by a kill. */
  stopTrouble: Pick<ResourceFailure, 'event' | 'detail'> | undefined
  /** UNKNOWN, and another try is allowed. */
  retry: boolean
  /** An emergency stop has tried once. */
  endTried: boolean
}

export function newResourceRun(name: ResourceName, definition: ResourceDefinition, dependents: readonly ResourceName[]): ResourceRun {
  return {
    name,
    definition,
    behaviour: behaviourOf(definition),
    dependents,
    state: 'STOPPED',
    detail: undefined,
    touched: false,
    escaped: false,
    processes: [],
    starting: undefined,
    failure: undefined,
    activity: undefined,
    probeAt: 0 as BootInstant,
    probePurpose: 'periodic',
    onlineSince: 0 as BootInstant,
    proven: false,
    stopTrouble: undefined,
    retry: false,
    endTried: false,
  }
}

export function restoreResourceRun(fresh: ResourceRun, record: ResourceRecord): ResourceRun {
  return {
    ...fresh,
    state: record.state,
    detail: record.detail,
    touched: record.touched,
    escaped: record.escaped === true,
    processes: record.processes,
    starting: record.starting,
    failure: record.failure,
  }
}

export function recordOf(run: ResourceRun): ResourceRecord {
  return {
    state: run.state,
    touched: run.touched,
    processes: run.processes,
    ...(run.detail === undefined ? {} : { detail: run.detail }),
    ...(run.starting === undefined ? {} : { starting: run.starting }),
    ...(run.escaped ? { escaped: true } : {}),
    ...(run.failure === undefined ? {} : { failure: run.failure }),
  }
}

export function reportOf(run: ResourceRun): ResourceReport {
  return { state: run.state, ...(run.detail === undefined ? {} : { detail: run.detail }) }
}

export const sameProcess = (a: ProcessIdentity, b: ProcessIdentity) => a.pid === b.pid && a.startTime === b.startTime
