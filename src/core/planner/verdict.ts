/** What the planner is told of one group, and the words in which its policies answer. */
import type { BootId, GroupName, LogTime, NodeId, ResourceName, Token } from '../../base/index.js'
import type { Candidate, FailoverLimit, FailureSeverity, NamedRule, Notice, PlannedAction, PlannedDecision } from '../cluster/index.js'

export interface CandidateInput {
  readonly node: NodeId
  /** Position in the group's list, 1 is first. */
  readonly rank: number
  readonly boot: BootId | null
  /** The leader renews its lease and no case is open. */
  readonly alive: boolean
  readonly duty: 'active' | 'standby' | 'draining' | 'leaving' | 'quarantined'
  readonly banned: string | null
  /** Why the state machine would refuse a grant; null when it would not (looked at with the holder out of the way). */
  readonly obstacle: string | null
  /** For a primary role: what the agents said of the copy there. */
  readonly score?: number
  /** Its copy has failed, and that still counts. */
  readonly failed?: true
  /** Its copy is on its way up, and might do better. */
  readonly rising?: true
}

/** What a group is told of the scalable group that it is a part of. */
export type PartInput =
  | {
      readonly role: 'instance'
      readonly of: GroupName
      /** More run than are wanted, and this one is the last in rank of those that are not the primary. */
      readonly surplus?: true
      /** So many better placed ones would fill what is missing. */
      readonly outranked?: true
      /** Others take on what has changed first: one at a time, the primary's copy last. */
      readonly notItsTurn?: true
      /** What has changed may take the copy down for a moment. */
      readonly takesDown?: true
      /** The primary role is held here and has to go first. */
      readonly primary?: GroupName
      /** Another one runs, or could if this one were out of the way. */
      readonly elsewhere?: true
      /** What a migration has it do now. */
      readonly migration?: MigrationInput
      /** Where it could go while it runs, were its node only to be left. */
      readonly evacuateTo?: NodeId
      readonly notice?: NoticeInput
    }
  /** `leaves`: why the copy that holds the role is not one any more, or soon will not be. */
  | {
      readonly role: 'primary'
      readonly of: GroupName
      readonly leaves?: string
      /** What its copy runs is defined otherwise by now: it goes on as it is until its copy takes that on. */
      readonly awaitsCopy?: true
      readonly notice?: NoticeInput
    }

/**
 * `receive`: it is to be granted, and to wait. `receiving`: it may be turning up. `wait`: something else comes first. `send`: the other node is
 * ready. `gone`: it has been sent. `arrive`: nobody else has it. `abandon`: it does not come. `refuse`: it cannot go there. `asked`: it will go,
 * and is looked after as ever until then.
 */
export type MigrationInput =
  | { readonly kind: 'receive' | 'receiving' | 'wait' | 'asked' }
  | { readonly kind: 'send' | 'gone'; readonly to: NodeId }
  | { readonly kind: 'arrive' | 'abandon'; readonly from: NodeId }
  | { readonly kind: 'refuse'; readonly to: NodeId; readonly why: string }

/** Left out where the copies are told nothing of each other. */
export interface NoticeInput {
  /** The step that is under way, and who that lives has not been told yet. */
  readonly open: (Pick<Notice, 'when' | 'operation' | 'node'> & { readonly untold: readonly NodeId[]; readonly expired?: true }) | null
}

export interface GroupInput {
  readonly group: GroupName
  readonly at: LogTime
  readonly intent: 'ONLINE' | 'OFFLINE'
  readonly deleting: boolean
  readonly frozen: { readonly until: LogTime; readonly owner: string; readonly reason: string } | null
  /** The node that holds it, or held it last, is in maintenance. */
  readonly maintenance?: { readonly node: NodeId; readonly until: LogTime; readonly owner: string; readonly reason: string }
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
    /** It can go on as defined now, without being stopped as a whole. */
    readonly updatable?: true
    /** Who else holds what it would hold once it has taken on what was changed. */
    readonly heldUpBy?: string
    readonly state: string
    readonly failure: {
      readonly resource: ResourceName
      readonly event: string
      readonly detail: string
      readonly restartNumber: number
      readonly number?: number
      readonly severity?: FailureSeverity
    } | null
    readonly restartNumber: number
    /** Failures of the failed resource on this node within its window, this one included; and what is allowed. */
    readonly failuresInWindow: number
    readonly restartMax: number
    /** When the failed resource failed last, and the first pause before a restart; left out where there is none. */
    readonly failedAt?: LogTime
    readonly restartDelay?: number
    /** A person has had its failures forgotten. */
    readonly cleared?: boolean
    /** It looks at everything anew, after a freeze. */
    readonly looking?: true
    /** It knows how to restart a resource with all that depends on it, whatever the kind of dependency. */
    readonly restartsDependents?: true
    /** Resources that the failed one holds up although they do not need it: nothing starts beside what is critical and has failed. */
    readonly heldUp?: readonly ResourceName[]
    /** Its node is being evicted: for the failures of which group. */
    readonly evicted?: GroupName
    /** Why its node is not fenced now; left out where nothing speaks against it, or nobody asks. */
    readonly fenceObstacle?: string
  } | null
  readonly lastNode: NodeId | null
  readonly move: { readonly to: NodeId; readonly begun: boolean } | null
  readonly restartAsked: Token | null
  /** Of one resource, under the present token, and not ordered yet. */
  readonly resourceRestart?: { readonly resource: ResourceName; readonly dependents?: true; readonly operation: string }
  readonly waitingFor: string | null
  /** The list in force after a failure; without one, or left out, as `SOFT`. */
  readonly rules?: readonly NamedRule[]
  /** How long a node on which it failed is passed over, where that is not as usual. Milliseconds. */
  readonly pingpongInterval?: number
  /** Where failovers for failures are limited: how many there were within the window. */
  readonly failovers?: FailoverLimit & { readonly recent: number }
  /** Why it was stopped until a person clears it. */
  readonly halted?: string
  /** Something of it runs there too, and all of it is to be stopped and started anew. */
  readonly stray?: NodeId
  /** Its starts were followed by the loss of nodes. */
  readonly poisoned?: string
  /** After a failure: why it is not to leave its node on its own now. */
  readonly braked?: string
  readonly candidates: readonly CandidateInput[]
  readonly part?: PartInput
}

export type HolderInput = NonNullable<GroupInput['holder']>

export type Verdict = Omit<PlannedDecision, 'group' | 'input' | 'candidates'> & { readonly candidates?: readonly Candidate[] }

export function act(action: PlannedAction, rule: string, text: string, candidates?: readonly Candidate[]): Verdict {
  return { action, rule, text, ...(candidates === undefined ? {} : { candidates }) }
}

/** States why nothing can be done, once. */
export function wait(input: GroupInput, rule: string, text: string, candidates?: readonly Candidate[]): Verdict | undefined {
  return input.waitingFor === text ? undefined : act({ kind: 'wait' }, rule, text, candidates)
}

/** The first rule that keeps a node from taking the group; undefined when none does. */
export function ruledOut(candidate: CandidateInput): string | undefined {
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
    const place = candidate.score === undefined ? `rank ${candidate.rank}` : `score ${candidate.score}, rank ${candidate.rank}`
    return { node: candidate.node, eligible: refusal === undefined, rule, seen: refusal ?? place }
  })
}
