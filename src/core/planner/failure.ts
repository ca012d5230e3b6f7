/**
 * What follows a failure of a group that runs under an open token, by the first rule that matches.
 *
 * Asked only where the holder is alive and has not been told to stop.
 */
import { formatDuration, type ResourceName } from '../../base/index.js'
import { type Candidate, matchingRule, type NamedRule, policyDefaults, restartPause, softRules } from '../cluster/index.js'
import { act, type GroupInput, type HolderInput, ruledOut, table, type Verdict } from './verdict.js'

/** Milliseconds between a failure that is left as it is and another start beside what it holds up. */
const makeWayAfter = 1_000

/** What follows a failure, or that it is left as it is: then what people ask of the group still counts. */
export type FailureAnswer =
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  | { readonly kind: 'left'; readonly rule: string; readonly text?: string; readonly candidates?: readonly Candidate[] }

/** It would have the group leave its node, to run elsewhere. */
function leaves({ action }: NamedRule, severity: FailureInput['severity']): boolean {
  return (action === 'failover' && severity !== 'fatal') || action === 'standbyNode' || action === 'evictNode' || action === 'fence'
}

type FailureInput = NonNullable<HolderInput['failure']>

export function judgeFailure(input: GroupInput, holder: HolderInput, failure: FailureInput): FailureAnswer {
  const { event, resource, severity } = failure
  const { failuresInWindow: count, restartMax } = holder
  const what = `${resource} on ${holder.node}: ${event} (${failure.detail})`
  const restart = (rule: string, why: string, whole = false): FailureAnswer => ({
    kind: 'verdict',
    verdict: act(
      { kind: 'restart', token: holder.token, resource, ...(whole ? { dependents: true as const } : {}) },
      rule,
      `${what}; ${why}`,
    ),
  })
  if (holder.cleared === true) return restart('cleared', 'its failures were cleared, so it is tried again')
  const rule = matchingRule(input.rules ?? softRules, {
    event,
    resource,
    count,
    restartMax,
    ...(severity === undefined ? {} : { severity }),
  })
  if (rule === undefined) return { kind: 'left', rule: 'no-rule', text: `${what}; no rule says what follows` }
  const by = byRule(rule)
  if (input.braked !== undefined && leaves(rule, severity)) {
    const text = `${what}; ${input.group} stays on ${holder.node}, for the brakes hold: ${input.braked}${by}; POST /v1/brakes/release lets them go`
    return { kind: 'left', rule: 'brakes', text, candidates: table(input) }
  }
  const again = `POST /v1/groups/${input.group}/clear to try it again`
  switch (rule.action) {
    case 'restart':
    case 'restartDependents':
      return (
        pause(input, holder, rule, what) ??
        restart(
          rule.name,
          `restart ${count} of ${restartMax} in its window${by}`,
          rule.action === 'restartDependents' && holder.restartsDependents === true,
        )
      )
    case 'failover':
      if (severity === 'fatal') {
        const text = `${what}; its agent says that this would fail on any node: it is stopped until it is cleared${by}`
        return { kind: 'verdict', verdict: halt(holder, 'fails-everywhere', text, table(input)) }
      }
      return failOver(
        input,
        holder,
        severity === 'hard' ? { ...rule, name: 'hard-error' } : rule,
        `${what}; ${whyNotHere(holder, rule, failure)}`,
      )
    case 'demote': {
      // One that could not be promoted, or loses the role again and again, is passed over.
      const isInVain = event.startsWith('start-') || severity !== undefined || count > restartMax
      const text = `${what}; it is demoted, and the best copy is promoted${by}`
      if (isInVain) return failOver(input, holder, rule, text)
      return { kind: 'verdict', verdict: act({ kind: 'stop', token: holder.token, ban: null }, rule.name, text, table(input)) }
    }
    case 'stop':
      return { kind: 'verdict', verdict: halt(holder, rule.name, `${what}; it is stopped until it is cleared${by}`) }
    case 'fence':
      return fence(input, holder, rule, what, again)
    case 'standbyNode':
    case 'evictNode':
      return standBy(input, holder, rule, what)
    case 'block':
      return { kind: 'left', rule: rule.name, text: `${what}; it is left as it is${by || `, by ${rule.name}`}: ${again}` }
    case 'log':
    case 'ignore':
      if (rule.name !== 'log-only' && mayMakeWay(input, holder)) return makeWay(holder, what)
      return { kind: 'left', rule: rule.name, ...(rule.action === 'log' ? { text: logged(input, holder, rule, what, again) } : {}) }
  }
}

/** Not in the breath in which it failed: what it holds up may be about to start by itself. */
function mayMakeWay(input: GroupInput, { heldUp = [], failedAt }: HolderInput): boolean {
  return heldUp.length > 0 && (failedAt === undefined || input.at - failedAt >= makeWayAfter)
}

function makeWay({ token, failure, heldUp = [] }: HolderInput, what: string): FailureAnswer {
  const text = `${what}; it holds up ${heldUp.join(', ')}, so it is started once more beside them`
  const resource = failure?.resource as ResourceName
  return { kind: 'verdict', verdict: act({ kind: 'restart', token, resource }, 'make-way', text) }
}

function logged(input: GroupInput, holder: HolderInput, rule: NamedRule, what: string, again: string): string {
  return rule.name === 'not-critical'
    ? `${what}; it is not critical: ${input.group} stays on ${holder.node} without it; ${again}`
    : `${what}; it is only recorded${byRule(rule) || `, by ${rule.name}`}: ${again}`
}

/** Undefined when the pause before the restart is over, or there is none. */
function pause(input: GroupInput, holder: HolderInput, rule: NamedRule, what: string): FailureAnswer | undefined {
  const { restartDelay = 0, failedAt, failuresInWindow, restartMax } = holder
  const span = restartPause(restartDelay, failuresInWindow)
  if (failedAt === undefined || input.at - failedAt >= span) return undefined
  const text = `${what}; restart ${failuresInWindow} of ${restartMax} in its window follows ${formatDuration(span)} after the failure${byRule(rule)}`
  return { kind: 'left', rule: 'restart-delay', text }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function whyNotHere(holder: HolderInput, rule: NamedRule, { severity }: FailureInput): string {
  if (severity === 'hard') return `its agent says that another try on ${holder.node} is of no use${byRule(rule)}`
  if (rule.name === 'start-failed') return 'a start that fails is not repeated on the same node'
  if (rule.name === 'restarts-exhausted')
    return `${count(holder.failuresInWindow, 'failure')}, ${count(holder.restartMax, 'restart')} allowed in the window`
  return `it goes elsewhere${byRule(rule)}`
}

/** The node is passed over for a while; where the failovers are used up, the group stops, or stays, rather than go round for ever. */
function failOver(input: GroupInput, holder: HolderInput, rule: NamedRule, what: string): FailureAnswer {
  const ban = { node: holder.node, forMs: input.pingpongInterval ?? policyDefaults.pingpongInterval }
  const done = (verdict: Verdict): FailureAnswer => ({ kind: 'verdict', verdict })
  const leave = (text: string) => done(act({ kind: 'stop', token: holder.token, ban }, rule.name, text, table(input)))
  const limit = input.failovers
  if (limit === undefined || limit.max === 0 || limit.recent < limit.max) return leave(what)
  const used = `${count(limit.recent, 'failover')} within ${formatDuration(limit.window)}, ${limit.max} allowed`
  if (limit.onExhausted === 'keepTrying') return leave(`${what}; ${used}, and it goes on all the same`)
  if (limit.onExhausted === 'runDegraded') {
    if (mayMakeWay(input, holder)) return makeWay(holder, what)
    const text = `${what}; ${used}: ${input.group} stays on ${holder.node} with what runs; POST /v1/groups/${input.group}/clear to try it again`
    return { kind: 'left', rule: 'failovers-exhausted', text, candidates: table(input) }
  }
  return done(halt(holder, 'failovers-exhausted', `${what}; ${used}: ${input.group} is stopped until it is cleared`, table(input)))
}

function halt(holder: HolderInput, rule: string, text: string, candidates?: readonly Candidate[]): Verdict {
  return act({ kind: 'stop', token: holder.token, ban: null, halt: true }, rule, text, candidates)
}

/** Without this node it would run elsewhere, or what it is one instance of does. */
function canGoOn({ part, candidates }: GroupInput, holder: HolderInput): boolean {
  if (part?.role === 'instance') return part.elsewhere === true
  return candidates.some((candidate) => candidate.node !== holder.node && ruledOut(candidate) === undefined)
}

/** Not where nobody else could take the group: then it would only be gone. */
function standBy(input: GroupInput, holder: HolderInput, rule: NamedRule, what: string): FailureAnswer {
  const here = input.candidates.find((candidate) => candidate.node === holder.node)
  if (here !== undefined && here.duty !== 'active') return { kind: 'left', rule: rule.name }
  if (!canGoOn(input, holder)) {
    const text = `${what}; ${holder.node} would ${isEviction(rule) ? 'be evicted' : 'go to standby'}, and no other node can take ${input.group} now${byRule(rule)}`
    return { kind: 'left', rule: rule.name, text, candidates: table(input) }
  }
  const goes = isEviction(rule) ? 'is evicted, and its groups leave it' : 'goes to standby and its groups leave it'
  const evict = isEviction(rule) ? { evict: true as const } : {}
  const action = { kind: 'standby', token: holder.token, node: holder.node, ...evict } as const
  return { kind: 'verdict', verdict: act(action, rule.name, `${what}; ${holder.node} ${goes}${byRule(rule)}`, table(input)) }
}

const isEviction = ({ action }: NamedRule) => action === 'evictNode'

/** Only where the device, the other voters and open cases allow it, and another node could take the group then. */
export function fence(input: GroupInput, holder: HolderInput, rule: NamedRule, what: string, otherwise: string): FailureAnswer {
  const obstacle = holder.fenceObstacle ?? (canGoOn(input, holder) ? undefined : `no other node can take ${input.group} now`)
  if (obstacle !== undefined) {
    const text = `${what}; ${holder.node} is not fenced for it: ${obstacle}${byRule(rule)}; ${otherwise}`
    return { kind: 'left', rule: rule.name, text, candidates: table(input) }
  }
  const text = `${what}; ${holder.node} is fenced, so that ${input.group} can go elsewhere${byRule(rule)}`
  return { kind: 'verdict', verdict: act({ kind: 'fence', token: holder.token, node: holder.node }, rule.name, text, table(input)) }
}

/** Names a rule that the group was given; those of its mode are said in other words. */
export function byRule(rule: NamedRule | undefined): string {
  return rule?.name.startsWith('rules[') === true ? `, by ${rule.name} (${rule.event} → ${rule.action})` : ''
}
