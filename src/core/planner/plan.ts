/**
 * Decides what to do about each group: a pure function of what is committed and who is alive.
 *
 * `decideGroup` sees one explicit input, which is kept with the decision: run again on it, it gives the same answer
 * (P7). Policies are asked in a fixed order and the first that has something to say decides; candidates are compared
 * by rule, rank and name, never by scores.
 */
import type { BootId, GroupName, LogTime, NodeId, ResourceName, Token } from '../../base/index.js'
import { type Candidate, notProbedYet, type PlannedAction, type PlannedDecision } from '../cluster/index.js'

/** Changes when the same input may give another decision. */
export const plannerVersion = 1

/** How long a node on which a group failed is passed over (as Sun's Pingpong_interval). Milliseconds. */
export const pingPongInterval = 3_600_000

export interface CandidateInput {
  readonly node: NodeId
  /** Position in the group's list, 1 is first. */
  readonly rank: number
  readonly boot: BootId | null
  /** The leader renews its lease and no case is open. */
  readonly alive: boolean
  readonly duty: 'active' | 'standby' | 'draining'
  readonly banned: string | null
  /** Why the state machine would refuse a grant; null when it would not (looked at with the holder out of the way). */
  readonly obstacle: string | null
}

export interface GroupInput {
  readonly group: GroupName
  readonly at: LogTime
  readonly intent: 'ONLINE' | 'OFFLINE'
  readonly deleting: boolean
  readonly frozen: { readonly until: LogTime; readonly owner: string; readonly reason: string } | null
  readonly holder: {
    readonly node: NodeId
    readonly token: Token
    /** Its token has ended by proof. */
    readonly proved: string | null
    readonly alive: boolean
    /** A case of its node is open. */
    readonly suspected: boolean
    /** Nobody has heard its node since it was last started. */
    readonly joining: boolean
    readonly wanted: 'run' | 'stop'
    readonly definitionChanged: boolean
    readonly state: string
    readonly failure: {
      readonly resource: ResourceName
      readonly event: string
      readonly detail: string
      readonly restartNumber: number
    } | null
    readonly restartNumber: number
    /** Failures of the failed resource on this node within its window, this one included; and what is allowed. */
    readonly failuresInWindow: number
    readonly restartMax: number
  } | null
  readonly lastNode: NodeId | null
  readonly move: { readonly to: NodeId; readonly begun: boolean } | null
  readonly restartAsked: Token | null
  readonly waitingFor: string | null
  readonly candidates: readonly CandidateInput[]
}

type Verdict = Omit<PlannedDecision, 'group' | 'input' | 'candidates'> & { readonly candidates?: readonly Candidate[] }

/** What to do about one group now; undefined when nothing is to be done. */
export function decideGroup(input: GroupInput): PlannedDecision | undefined {
  const verdict = judge(input)
  if (verdict === undefined) return undefined
  return {
    group: input.group,
    input: { ...input },
    candidates: verdict.candidates ?? [],
    action: verdict.action,
    rule: verdict.rule,
    text: verdict.text,
  }
}

function judge(input: GroupInput): Verdict | undefined {
  const { holder } = input
  const held = holder !== null && holder.proved === null
  if (input.frozen !== null) {
    if (input.frozen.until <= input.at)
      return act({ kind: 'unfreeze' }, 'freeze-ended', `the freeze of ${input.group} by ${input.frozen.owner} has ended`)
    return undefined
  }
  if (input.deleting)
    return held
      ? stopHeld(input, 'delete', `${input.group} is to be deleted`)
      : act({ kind: 'forget' }, 'delete', `${input.group} has stopped everywhere and is forgotten`)
  if (input.intent === 'OFFLINE') return held ? stopHeld(input, 'intent', `${input.group} is to be offline`) : undefined
  if (held) return judgeHeld(input, holder)
  return place(input)
}

function act(action: PlannedAction, rule: string, text: string, candidates?: readonly Candidate[]): Verdict {
  return { action, rule, text, ...(candidates === undefined ? {} : { candidates }) }
}

/** States why nothing can be done, once. */
function wait(input: GroupInput, rule: string, text: string, candidates?: readonly Candidate[]): Verdict | undefined {
  return input.waitingFor === text ? undefined : act({ kind: 'wait' }, rule, text, candidates)
}

function stopHeld(
  input: GroupInput,
  rule: string,
  text: string,
  ban: { node: NodeId; forMs: number } | null = null,
  candidates?: readonly Candidate[],
): Verdict | undefined {
  const { holder } = input
  if (holder === null) return undefined
  if (holder.wanted === 'stop') return stopping(input, holder)
  if (!holder.alive) return waitForProof(input, holder)
  return act({ kind: 'stop', token: holder.token, ban }, rule, text, candidates)
}

function stopping(input: GroupInput, holder: NonNullable<GroupInput['holder']>): Verdict | undefined {
  if (!holder.alive) return waitForProof(input, holder)
  if (holder.state !== 'UNKNOWN') return undefined
  return wait(
    input,
    'stop-failed',
    `${holder.node} could not verify that ${input.group} has stopped; fence ${holder.node} to go on: POST /v1/nodes/${holder.node}/fence`,
  )
}

function waitForProof(input: GroupInput, holder: NonNullable<GroupInput['holder']>): Verdict | undefined {
  if (holder.suspected) return wait(input, 'no-proof', `waiting for proof that ${holder.node} can no longer act`)
  if (holder.joining)
    return wait(input, 'joining', `waiting for ${holder.node}, which may still be starting; after startGrace a case opens`)
  return undefined // The leader has only begun to hear it.
}

/** Policies for a group that runs, or should, under an open token. */
function judgeHeld(input: GroupInput, holder: NonNullable<GroupInput['holder']>): Verdict | undefined {
  if (holder.wanted === 'stop' || !holder.alive) return stopping(input, holder)
  const here = input.candidates.find((candidate) => candidate.node === holder.node)

  if (input.move !== null && input.move.to !== holder.node) {
    const target = input.candidates.find((candidate) => candidate.node === input.move?.to)
    const refusal = target === undefined ? 'it is not in the list of the group' : ruledOut(target)
    if (refusal !== undefined) {
      return act(
        { kind: 'end-move', done: false },
        'move-refused',
        `${input.group} stays on ${holder.node}: ${input.move.to} cannot take it (${refusal})`,
        table(input),
      )
    }
    return stopHeld(input, 'move', `${input.group} moves from ${holder.node} to ${input.move.to}, as asked`, null, table(input))
  }
  if (holder.failure !== null && holder.state === 'FAILED' && holder.failure.restartNumber === holder.restartNumber)
    return judgeFailure(input, holder, holder.failure)
  if (holder.state === 'UNKNOWN')
    return stopHeld(
      input,
      'unknown',
      `whether ${input.group} runs on ${holder.node} could not be verified: it is stopped and verified first`,
    )
  if (input.restartAsked === holder.token)
    return stopHeld(input, 'restart-asked', `${input.group} is restarted on ${holder.node}, as asked`)
  if (holder.definitionChanged)
    return stopHeld(
      input,
      'definition-changed',
      `the resources of ${input.group} were changed: it is stopped as it was and started as it is now`,
    )
  if (here !== undefined && here.duty !== 'active')
    return stopHeld(input, 'standby', `${holder.node} is ${here.duty}: ${input.group} leaves it`, null, table(input))
  return input.waitingFor === null || holder.state === 'UNKNOWN' ? undefined : act({ kind: 'wait' }, 'resolved', '')
}

/** Restart in place first; after `restartMax` in the window, or a failed start, go elsewhere. */
function judgeFailure(
  input: GroupInput,
  holder: NonNullable<GroupInput['holder']>,
  failure: NonNullable<NonNullable<GroupInput['holder']>['failure']>,
): Verdict | undefined {
  const what = `${failure.resource} on ${holder.node}: ${failure.event} (${failure.detail})`
  const startFailed = failure.event === 'start-failed' || failure.event === 'start-timeout'
  if (!startFailed && holder.failuresInWindow <= holder.restartMax) {
    return act(
      { kind: 'restart', token: holder.token, resource: failure.resource },
      'restart-in-place',
      `${what}; restart ${holder.failuresInWindow} of ${holder.restartMax} in its window`,
    )
  }
  const rule = startFailed ? 'start-failed' : 'restarts-exhausted'
  const why = startFailed
    ? 'a start that fails is not repeated on the same node'
    : `${holder.failuresInWindow} failures, ${holder.restartMax} restarts allowed in the window`
  return stopHeld(input, rule, `${what}; ${why}`, { node: holder.node, forMs: pingPongInterval }, table(input))
}

/** Chooses where a group without a holder goes. */
function place(input: GroupInput): Verdict | undefined {
  const candidates = table(input)
  // At a first start the better ranked are given the moment that their probes take; a takeover waits for nobody.
  const looking = input.holder === null ? input.candidates.find((candidate) => isLooking(candidate)) : undefined
  const open = input.candidates.filter((candidate) => ruledOut(candidate) === undefined)
  const chosen = choose(input, open)
  if (looking !== undefined && chosen?.rule === 'rank' && looking.rank < chosen.candidate.rank) {
    return wait(input, 'probing', `${looking.node} is looking whether ${input.group} runs there already`, candidates)
  }
  if (chosen === undefined) {
    const reasons = candidates.map((candidate) => `${candidate.node}: ${candidate.seen}`).join('; ')
    const allBanned = input.candidates.length > 0 && input.candidates.every((candidate) => candidate.banned !== null)
    const text = allBanned
      ? `${input.group} failed on every node (${reasons}); POST /v1/groups/${input.group}/clear to try again`
      : `no node can take ${input.group} now (${reasons})`
    return wait(input, allBanned ? 'failed-everywhere' : 'no-candidate', text, candidates)
  }
  const former = input.holder
  const why =
    chosen.rule === 'move'
      ? 'as asked'
      : former?.proved !== undefined && former?.proved !== null
        ? `${former.node} can no longer act (${former.proved})`
        : chosen.rule === 'stay'
          ? 'it stays where it ran'
          : 'it is the first in the list that can take it'
  const marked = candidates.map((candidate) =>
    candidate.node === chosen.candidate.node ? { ...candidate, rule: chosen.rule, seen: 'chosen' } : candidate,
  )
  const { node, boot } = chosen.candidate
  if (boot === null) return undefined
  return act({ kind: 'grant', node, boot }, chosen.rule, `${input.group} goes to ${node}: ${why}`, marked)
}

/** Order of comparison: a move that was asked for, staying where it ran, rank, name. */
function choose(
  input: GroupInput,
  open: readonly CandidateInput[],
): { readonly candidate: CandidateInput; readonly rule: string } | undefined {
  const wanted = open.find((candidate) => candidate.node === input.move?.to)
  if (wanted !== undefined) return { candidate: wanted, rule: 'move' }
  const stay = input.holder === null ? open.find((candidate) => candidate.node === input.lastNode) : undefined
  if (stay !== undefined) return { candidate: stay, rule: 'stay' }
  const first = [...open].sort((a, b) => a.rank - b.rank || (a.node < b.node ? -1 : 1))[0]
  return first === undefined ? undefined : { candidate: first, rule: input.holder?.proved == null ? 'rank' : 'takeover' }
}

function isLooking(candidate: CandidateInput): boolean {
  return candidate.alive && candidate.duty === 'active' && candidate.banned === null && candidate.obstacle === notProbedYet
}

/** The first rule that keeps a node from taking the group; undefined when none does. */
function ruledOut(candidate: CandidateInput): string | undefined {
  if (!candidate.alive) return 'it is not here, or its lease is not renewed'
  if (candidate.duty !== 'active') return `it is ${candidate.duty}`
  if (candidate.banned !== null) return candidate.banned
  if (candidate.obstacle !== null) return candidate.obstacle
  return undefined
}

/** Every node of the list with the rule that ruled it out, or its rank. */
export function table(input: GroupInput): readonly Candidate[] {
  return input.candidates.map((candidate) => {
    const refusal = ruledOut(candidate)
    const rule = !candidate.alive
      ? 'alive'
      : candidate.duty !== 'active'
        ? 'duty'
        : candidate.banned !== null
          ? 'banned'
          : candidate.obstacle !== null
            ? 'grantable'
            : 'rank'
    return { node: candidate.node, eligible: refusal === undefined, rule, seen: refusal ?? `rank ${candidate.rank}` }
  })
}
