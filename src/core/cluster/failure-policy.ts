/**
 * What follows a failure: the rules that a group was given and those that its mode stands for, as one list of which the
 * first match counts.
 *
 * A rule that asks for a restart matches only while the resource has restarts left in its window, so that what comes
 * after it in the list says what follows when they are used up.
 */
import type { ResourceName } from '../../base/index.js'

export const failureEvents = [
  'died',
  'probe-failed',
  'probe-timeout',
  'start-failed',
  'start-timeout',
  'stop-failed',
  'stop-timeout',
] as const
export type FailureEvent = (typeof failureEvents)[number]

export const failureActions = [
  'ignore',
  'log',
  'restart',
  'restartDependents',
  'failover',
  /** Of a primary role: it is given up, and goes to whoever is best now. */
  'demote',
  'block',
  'stop',
  'standbyNode',
  /** As `standbyNode`; and a stop that fails on the node before that is done has it fenced. */
  'evictNode',
  'fence',
] as const
export type FailureAction = (typeof failureActions)[number]

/** `hard`: another try on the same node is of no use. `fatal`: nor is one on any other. */
export type FailureSeverity = 'hard' | 'fatal'

export const failoverModes = ['NONE', 'SOFT', 'HARD', 'RESTART_ONLY', 'LOG_ONLY'] as const
export type FailoverMode = (typeof failoverModes)[number]

export interface FailureRule {
  readonly event: FailureEvent | 'any'
  /** Of this resource only. */
  readonly resource?: ResourceName
  /** From so many failures of the resource within its restart window on, this one included. */
  readonly countAtLeast?: number
  readonly action: FailureAction
}

/** One of the list in force, with the name by which decisions call it. */
export interface NamedRule extends FailureRule {
  readonly name: string
}

export interface FailoverLimit {
  /** Failovers for failures within `window` (milliseconds of log time); 0 is no limit. */
  readonly max: number
  readonly window: number
  readonly onExhausted: 'stop' | 'keepTrying' | 'runDegraded'
}

/** Part of a group's definition. What is left out is as in `policyDefaults`, and in the normal form that is left out. */
export interface FailurePolicy {
  readonly failoverMode?: FailoverMode
  /** HARD implies `fence`. */
  readonly onStopFailure?: 'block' | 'fence'
  /** Asked before those of the mode. */
  readonly rules?: readonly FailureRule[]
  /** Milliseconds without a failure after which earlier ones no longer count. */
  readonly stableAfter?: number
  /** Milliseconds that a node on which the group failed is passed over (as Sun's Pingpong_interval). */
  readonly pingpongInterval?: number
  readonly failover?: FailoverLimit
}

export const policyDefaults = {
  failoverMode: 'SOFT',
  onStopFailure: 'block',
  stableAfter: 600_000,
  pingpongInterval: 3_600_000,
  failover: { max: 0, window: 10_800_000, onExhausted: 'stop' },
} as const satisfies FailurePolicy

/** Whatever comes before, the pause before a restart is no longer. Milliseconds. */
export const restartDelayMax = 60_000

const startFails = (action: FailureAction): readonly NamedRule[] => [
  { name: 'start-failed', event: 'start-failed', action },
  { name: 'start-failed', event: 'start-timeout', action },
]
const restartThen = (action: FailureAction): readonly NamedRule[] => [
  { name: 'restart-in-place', event: 'any', action: 'restart' },
  { name: 'restarts-exhausted', event: 'any', action },
]
const softly = [...startFails('failover'), ...restartThen('failover')]

/** What each mode does about everything but a stop that fails. */
const ofMode: Readonly<Record<FailoverMode, readonly NamedRule[]>> = {
  NONE: [...startFails('block'), ...restartThen('failover')],
  SOFT: softly,
  HARD: softly,
  RESTART_ONLY: restartThen('block'),
  LOG_ONLY: [{ name: 'log-only', event: 'any', action: 'log' }],
}
const stopFails = (action: FailureAction): readonly NamedRule[] => [
  { name: 'stop-failed', event: 'stop-failed', action },
  { name: 'stop-failed', event: 'stop-timeout', action },
]
const blocking = stopFails('block')
const fencing = stopFails('fence')

/** The whole list in force; `uncritical` are the resources without which the group stays where it is. */
export function effectiveRules(policy: FailurePolicy, uncritical: readonly ResourceName[]): readonly NamedRule[] {
  const mode = policy.failoverMode ?? policyDefaults.failoverMode
  const own = (policy.rules ?? []).map((rule, at) => ({ name: `rules[${at}]`, ...rule }))
  const lenient = mode === 'LOG_ONLY' ? [] : uncritical.flatMap(leave)
  return [...own, ...(fencesOnStopFailure(policy) ? fencing : blocking), ...lenient, ...ofMode[mode]]
}

export function fencesOnStopFailure(policy: FailurePolicy): boolean {
  return policy.failoverMode === 'HARD' || policy.onStopFailure === 'fence'
}

function leave(resource: ResourceName): readonly NamedRule[] {
  return [
    { name: 'restart-in-place', event: 'any', resource, action: 'restart' },
    { name: 'not-critical', event: 'any', resource, action: 'log' },
  ]
}

/** Those that decisions kept from before there were rules were made by. */
export const softRules = effectiveRules({}, [])

export interface JudgedFailure {
  /** One that is not known counts as any. */
  readonly event: string
  readonly resource: string
  /** Failures of the resource within its window, this one included. */
  readonly count: number
  readonly restartMax: number
  /** Where there is one, no rule that asks for a restart matches. */
  readonly severity?: FailureSeverity
}

/** The first rule that matches and can be carried out after such a failure. */
export function matchingRule(rules: readonly NamedRule[], failure: JudgedFailure): NamedRule | undefined {
  return rules.find(
    (rule) =>
      (rule.event === 'any' || rule.event === failure.event) &&
      (rule.resource === undefined || rule.resource === failure.resource) &&
      failure.count >= (rule.countAtLeast ?? 0) &&
      (isStopFailure(failure.event)
        ? followsStop(rule.action)
        : !isRestart(rule.action) || (failure.severity === undefined && failure.count <= failure.restartMax)),
  )
}

export function isStopFailure(event: string): boolean {
  return event === 'stop-failed' || event === 'stop-timeout'
}

/** A stop that failed leaves nothing to restart, and nothing that could go elsewhere. */
export function followsStop(action: FailureAction): boolean {
  return action === 'block' || action === 'fence' || action === 'log' || action === 'ignore'
}

export function isRestart(action: FailureAction): boolean {
  return action === 'restart' || action === 'restartDependents'
}

/** Before the n-th restart in a window: doubled each time. */
export function restartPause(delay: number, count: number): number {
  return Math.min(restartDelayMax, delay * 2 ** Math.max(0, Math.min(count, 30) - 1))
}

export function uncriticalOf(resources: { readonly [name: ResourceName]: { readonly critical?: boolean } }): readonly ResourceName[] {
  return (Object.keys(resources) as ResourceName[]).filter((name) => resources[name]?.critical === false).sort()
}
