/**
 * Decides what to do about each group: a pure function of what is committed and who is alive.
 *
 * `decideGroup` sees one explicit input, which is kept with the decision: run again on it, it gives the same answer
 * (P7). Policies are asked in a fixed order and the first that has something to say decides; candidates are compared
 * by rule, rank and name, never by scores.
 */
import {
  type Candidate,
  isStopFailure,
  matchingRule,
  type NamedRule,
  notProbedYet,
  type PlannedDecision,
  softRules,
} from '../cluster/index.js'
import { byRule, fence, judgeFailure } from './failure.js'
import { act, type CandidateInput, type GroupInput, type HolderInput, ruledOut, table, type Verdict, wait } from './verdict.js'

/** Changes when the planner may decide otherwise than before. What an earlier one was given still gives what it decided. */
export const plannerVersion = 7

/** What to do about one group now; undefined when nothing is to be done. */
export function decideGroup(input: GroupInput): PlannedDecision | undefined {
  const verdict = announced(input, heldBack(input, judge(input)))
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

/** Whether this input has an instance go down, were it not for the primary role. */
export function leavingOf(input: GroupInput): string | undefined {
  const verdict = judge(input)
  return verdict !== undefined && takesDown(input, verdict) ? verdict.text : undefined
}

function takesDown({ part }: GroupInput, { action }: Verdict): boolean {
  if (action.kind === 'update') return part?.role === 'instance' && part.takesDown === true
  return action.kind === 'stop' || action.kind === 'restart'
}

/** A copy is demoted before it goes down. */
function heldBack(input: GroupInput, verdict: Verdict | undefined): Verdict | undefined {
  const { part } = input
  if (verdict === undefined || part?.role !== 'instance' || part.primary === undefined || !takesDown(input, verdict)) return verdict
  return wait(input, 'primary-first', `${verdict.text}; ${part.primary} leaves ${input.holder?.node} first`)
}

/** The copies are told first of a step of one of them, and one step comes after the other. */
function announced(input: GroupInput, verdict: Verdict | undefined): Verdict | undefined {
  const { part, holder } = input
  if (verdict === undefined || part?.notice === undefined) return verdict
  const { action } = verdict
  const isPrimary = part.role === 'primary'
  const step =
    action.kind === 'grant'
      ? { operation: isPrimary ? ('promote' as const) : ('start' as const), node: action.node }
      : action.kind === 'stop' && holder !== null
        ? { operation: isPrimary ? ('demote' as const) : ('stop' as const), node: holder.node }
        : undefined
  if (step === undefined) return verdict
  const { open } = part.notice
  const announcement = act({ kind: 'announce', ...step }, verdict.rule, `${verdict.text}; the copies are told first`, verdict.candidates)
  if (open === null) return announcement
  if (open.when === 'pre' && open.operation === step.operation && open.node === step.node)
    return open.untold.length === 0 || open.expired === true ? verdict : undefined
  // What was announced of this part is not wanted any more, or nobody has come back to it.
  const isOwn = (open.operation === 'promote' || open.operation === 'demote') === isPrimary && (isPrimary || open.node === step.node)
  return open.when === 'pre' && (isOwn || open.expired === true) ? announcement : undefined
}

function judge(input: GroupInput): Verdict | undefined {
  const { holder } = input
  const held = holder !== null && holder.proved === null
  if (input.frozen !== null) {
    if (input.frozen.until <= input.at)
      return act({ kind: 'unfreeze' }, 'freeze-ended', `the freeze of ${input.group} by ${input.frozen.owner} has ended`)
    return undefined
  }
  if (input.maintenance !== undefined) return undefined
  const migration = input.part?.role === 'instance' ? input.part.migration : undefined
  // Whatever is wanted: what may be turning up is not stopped before that is over.
  if (held && holder.alive && migration?.kind === 'receiving') return undefined
  if (input.deleting)
    return held
      ? stopHeld(input, 'delete', `${input.group} is to be deleted`)
      : act({ kind: 'forget' }, 'delete', `${input.group} has stopped everywhere and is forgotten`)
  if (input.intent === 'OFFLINE') return held ? stopHeld(input, 'intent', `${input.group} is to be offline`) : undefined
  if (input.halted !== undefined) {
    const text = `${input.group} was stopped for its failures (${input.halted}); POST /v1/groups/${input.group}/clear to run it again`
    return held ? stopHeld(input, 'halted', text) : wait(input, 'halted', text)
  }
  if (input.poisoned !== undefined) {
    const whole = input.part?.of ?? input.group
    const text = `${whole} rests: ${input.poisoned}; find out why, then POST /v1/groups/${whole}/clear to run it again`
    return held ? stopHeld(input, 'poison', text) : wait(input, 'poison', text)
  }
  if (held) return judgeHeld(input, holder)
  const { part } = input
  if (migration?.kind === 'receive') return place(input)
  if (part?.role === 'instance' && part.outranked === true) return wait(input, 'not-needed', '')
  return place(input)
}

function stopHeld(input: GroupInput, rule: string, text: string, candidates?: readonly Candidate[]): Verdict | undefined {
  const { holder } = input
  if (holder === null) return undefined
  if (holder.wanted === 'stop') return stopping(input, holder)
  if (!holder.alive) return waitForProof(input, holder)
  return act({ kind: 'stop', token: holder.token, ban: null }, rule, text, candidates)
}

function stopping(input: GroupInput, holder: HolderInput): Verdict | undefined {
  if (!holder.alive) return waitForProof(input, holder)
  if (holder.state !== 'UNKNOWN') return undefined
  const { failure } = holder
  const event = failure !== null && isStopFailure(failure.event) ? failure.event : 'stop-failed'
  const own = matchingRule(input.rules ?? softRules, {
    event,
    resource: failure?.resource ?? '',
    count: holder.failuresInWindow,
    restartMax: holder.restartMax,
  })
  // Whoever has the node evicted has it fenced where it cannot be left.
  const rule: NamedRule | undefined = holder.evicted === undefined ? own : { name: 'evicted', event: 'any', action: 'fence' }
  const evicted = holder.evicted === undefined ? '' : `; ${holder.node} is evicted for ${holder.evicted}`
  const what = `${holder.node} could not verify that ${input.group} has stopped${evicted}`
  const byHand = `fence ${holder.node} to go on: POST /v1/nodes/${holder.node}/fence`
  if (rule?.action !== 'fence') return wait(input, rule?.name ?? 'stop-failed', `${what}${byRule(rule)}; ${byHand}`)
  const answer = fence(input, holder, rule, what, byHand)
  return answer.kind === 'verdict' ? answer.verdict : wait(input, answer.rule, answer.text ?? what, answer.candidates)
}

function waitForProof(input: GroupInput, holder: HolderInput): Verdict | undefined {
  if (holder.suspected) return wait(input, 'no-proof', `waiting for proof that ${holder.node} can no longer act`)
  if (holder.joining)
    return wait(input, 'joining', `waiting for ${holder.node}, which may still be starting; after startGrace a case opens`)
  return undefined // The leader has only begun to hear it.
}

/** Policies for a group that runs, or should, under an open token. */
function judgeHeld(input: GroupInput, holder: HolderInput): Verdict | undefined {
  if (holder.wanted === 'stop' || !holder.alive) return stopping(input, holder)
  if (holder.looking === true) return undefined
  const migrating = migrate(input, holder)
  if (migrating !== 'as ever') return migrating
  const here = input.candidates.find((candidate) => candidate.node === holder.node)
  if (input.stray !== undefined) {
    const text = `${input.group} runs on ${input.stray} too: everything of it is stopped, and then it is started anew`
    return stopHeld(input, 'two-copies', text, table(input))
  }

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
    return stopHeld(input, 'move', `${input.group} moves from ${holder.node} to ${input.move.to}, as asked`, table(input))
  }
  if (input.part?.role === 'primary' && input.part.leaves !== undefined)
    return stopHeld(input, 'copy-leaves', `${input.group} leaves ${holder.node}: ${input.part.leaves}`, table(input))
  if (input.part?.role === 'instance' && input.part.surplus === true)
    return stopHeld(input, 'surplus', `more of ${input.part.of} run than are wanted, and ${holder.node} is the last in rank`)
  const failed = holder.failure !== null && holder.state === 'FAILED' && holder.failure.restartNumber === holder.restartNumber
  const answer = failed && holder.failure !== null ? judgeFailure(input, holder, holder.failure) : undefined
  if (answer?.kind === 'verdict') return answer.verdict
  if (holder.state === 'UNKNOWN')
    return stopHeld(
      input,
      'unknown',
      `whether ${input.group} runs on ${holder.node} could not be verified: it is stopped and verified first`,
    )
  if (input.restartAsked === holder.token)
    return stopHeld(input, 'restart-asked', `${input.group} is restarted on ${holder.node}, as asked`)
  if (input.resourceRestart !== undefined) {
    const { resource, dependents, operation } = input.resourceRestart
    return act(
      { kind: 'restart', token: holder.token, resource, operation, ...(dependents === undefined ? {} : { dependents }) },
      'resource-restart-asked',
      `${resource} of ${input.group} is restarted on ${holder.node}, as asked`,
    )
  }
  const { part } = input
  const waits = part?.role === 'instance' ? part.notItsTurn === true : part?.awaitsCopy === true
  if (holder.definitionChanged && waits)
    return answer?.text === undefined ? undefined : wait(input, answer.rule, answer.text, answer.candidates)
  if (holder.definitionChanged && holder.heldUpBy !== undefined)
    return wait(input, 'claim-held', `the resources of ${input.group} were changed; it goes on as it was, for ${holder.heldUpBy}`)
  if (holder.definitionChanged && holder.updatable === true)
    return act(
      { kind: 'update', token: holder.token },
      'definition-updated',
      `the resources of ${input.group} were changed: ${holder.node} goes on with them as they are now, and restarts only what has to be`,
    )
  if (holder.definitionChanged)
    return stopHeld(
      input,
      'definition-changed',
      `the resources of ${input.group} were changed: it is stopped as it was and started as it is now`,
    )
  const isGoing = input.part?.role === 'instance' && input.part.migration?.kind === 'asked'
  if (here !== undefined && here.duty !== 'active' && isGoing) return undefined
  if (here !== undefined && here.duty !== 'active' && input.part?.role === 'instance' && input.part.evacuateTo !== undefined)
    return act(
      { kind: 'evacuate', token: holder.token, to: input.part.evacuateTo },
      'standby',
      `${holder.node} is ${here.duty}: ${input.part.of} goes to ${input.part.evacuateTo} while it runs`,
    )
  if (here !== undefined && here.duty !== 'active')
    return stopHeld(input, 'standby', `${holder.node} is ${here.duty}: ${input.group} leaves it`, table(input))
  if (answer?.text !== undefined) return wait(input, answer.rule, answer.text, answer.candidates)
  return input.waitingFor === null || holder.state === 'UNKNOWN' ? undefined : act({ kind: 'wait' }, 'resolved', '')
}

/** What a migration has this instance do. */
function migrate(input: GroupInput, holder: HolderInput): Verdict | undefined | 'as ever' {
  const { part } = input
  if (part?.role !== 'instance' || part.migration === undefined) return 'as ever'
  const { token, node } = holder
  const { migration, of } = part
  switch (migration.kind) {
    case 'asked':
      return 'as ever'
    case 'receive':
    case 'receiving':
    case 'wait':
      return holder.state === 'UNKNOWN' ? 'as ever' : undefined
    case 'send':
      return act({ kind: 'send', token }, 'migrate', `${of} goes from ${node} to ${migration.to}, which waits for it`)
    case 'gone':
      return stopHeld(input, 'migrated', `${of} has gone to ${migration.to}`)
    case 'arrive':
      return act({ kind: 'arrive', token }, 'migrate', `${migration.from} does not run ${of} any more: ${node} goes on with it`)
    case 'abandon':
      return stopHeld(input, 'migration-failed', `${of} stays on ${migration.from}`)
    case 'refuse':
      return act({ kind: 'end-migration' }, 'migration-refused', `${migration.to} cannot take it (${migration.why})`)
  }
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
  const rising = input.part?.role === 'primary' && input.lastNode === null ? input.candidates.find((one) => one.rising === true) : undefined
  if (rising !== undefined && chosen?.rule !== 'move')
    return wait(input, 'copies-starting', `${rising.node} is starting its copy, which might do better as the primary`, candidates)
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
          : chosen.rule === 'score'
            ? `its copy has the best score (${chosen.candidate.score})`
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
  if (input.part?.role === 'primary') return bestScored(input, open)
  const stay = input.holder === null ? open.find((candidate) => candidate.node === input.lastNode) : undefined
  if (stay !== undefined) return { candidate: stay, rule: 'stay' }
  const first = [...open].sort((a, b) => a.rank - b.rank || (a.node < b.node ? -1 : 1))[0]
  return first === undefined ? undefined : { candidate: first, rule: input.holder?.proved == null ? 'rank' : 'takeover' }
}

/** The highest score; of equals one whose copy has not failed lately, then the one where it last was, then rank. */
function bestScored(
  input: GroupInput,
  open: readonly CandidateInput[],
): { readonly candidate: CandidateInput; readonly rule: string } | undefined {
  const isLast = ({ node }: CandidateInput) => Number(node === input.lastNode)
  const hasFailed = ({ failed }: CandidateInput) => Number(failed === true)
  const [best] = [...open].sort(
    (a, b) => (b.score ?? 0) - (a.score ?? 0) || hasFailed(a) - hasFailed(b) || isLast(b) - isLast(a) || a.rank - b.rank,
  )
  return best === undefined ? undefined : { candidate: best, rule: 'score' }
}

function isLooking(candidate: CandidateInput): boolean {
  return candidate.alive && candidate.duty === 'active' && candidate.banned === null && candidate.obstacle === notProbedYet
}
