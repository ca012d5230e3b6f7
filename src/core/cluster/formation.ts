/**
 * Static formation: a cluster forms once, when all listed members say that they are empty (DESIGN §4).
 *
 * The first by name mints the cluster id and all member ids and sends the plan; each writes it as `forming`; when all
 * have confirmed, any may enter `formed`. A forming member of the same plan counts as empty and gets it again; another
 * plan is refused with both ids. An empty member that hears of a formed cluster of another plan asks to be taken in: as the
 * node that it was, with a new disk, or by an invitation. Pure: told what came and what time it is, it answers with what to send and write.
 */
import type { ClusterId, MemberId, NodeId } from '../../base/index.js'

export interface FormationPlan {
  readonly clusterId: ClusterId
  readonly voters: readonly { readonly node: NodeId; readonly member: MemberId }[]
}

export type FormationPhase = 'empty' | 'forming' | 'formed'

/** What members tell each other until they are formed; a formed member answers with its plan. */
export interface FormationMessage {
  readonly kind: 'formation'
  readonly phase: FormationPhase
  readonly plan: FormationPlan | null
  /** Where the sender is reached, for those whose files do not name it. */
  readonly address?: { readonly host: string; readonly port: number }
}

export type FormationEffect =
  | { readonly kind: 'send'; readonly to: NodeId; readonly message: FormationMessage }
  /** Durable before `written` is called. */
  | { readonly kind: 'write'; readonly phase: 'forming' | 'formed'; readonly plan: FormationPlan }
  /** Ask a member of the formed cluster to be taken in. */
  | { readonly kind: 'join'; readonly to: NodeId }
  /** Taken in: durable before `written` is called. Who votes, the log says. */
  | { readonly kind: 'write-joined'; readonly clusterId: ClusterId; readonly member: MemberId }
  | { readonly kind: 'formed'; readonly plan: FormationPlan }
  | { readonly kind: 'refused'; readonly text: string }

export class Formation {
  private readonly self: NodeId
  private readonly members: readonly NodeId[]
  private readonly mint: (what: string) => string
  private readonly isInvited: boolean
  private phase: FormationPhase
  private plan: FormationPlan | null
  private writing: 'forming' | 'formed' | null = null
  private refusedToJoin: string | undefined
  private asked = 0
  private readonly heard = new Map<NodeId, FormationMessage>()
  private refusal: string | undefined
  private joining: { readonly clusterId: ClusterId; readonly member: MemberId } | undefined

  /** `mint` gives a fresh identifier for a purpose; `found` is the identity on disk, if any. An invited node forms nothing: it asks to be taken in. */
  constructor(
    self: NodeId,
    members: readonly NodeId[],
    found: { readonly phase: 'forming' | 'formed'; readonly plan: FormationPlan } | undefined,
    mint: (what: string) => string,
    isInvited = false,
  ) {
    this.isInvited = isInvited
    this.self = self
    this.members = [...members].sort()
    this.mint = mint
    this.phase = found?.phase ?? 'empty'
    this.plan = found?.plan ?? null
  }

  get isFormed(): boolean {
    return this.phase === 'formed'
  }

  /** For the operator, while the cluster has not formed. */
  get waitingFor(): string {
    if (this.refusal !== undefined) return this.refusal
    if (this.refusedToJoin !== undefined) return this.refusedToJoin
    const silent = this.members.filter((member) => member !== this.self && !this.heard.has(member))
    if (silent.length > 0) return `waiting to hear from ${silent.join(', ')}`
    const formed = [...this.heard].find(([, message]) => message.phase === 'formed' && message.plan?.clusterId !== this.plan?.clusterId)
    if (formed !== undefined)
      return `${formed[0]} belongs to the formed cluster ${formed[1].plan?.clusterId}; this node is empty and asks to be taken in`
    return 'waiting for every member to confirm the plan'
  }

  tick(): readonly FormationEffect[] {
    const effects: FormationEffect[] = []
    if (this.phase === 'formed') return effects
    this.proceed(effects)
    for (const member of this.members) if (member !== this.self) effects.push({ kind: 'send', to: member, message: this.message() })
    // One member is enough, and each is asked in turn.
    if (this.phase === 'empty' && this.writing === null) {
      const formed = this.members.filter((member) => member !== this.self && (this.isInvited || this.heard.get(member)?.phase === 'formed'))
      const to = formed[this.asked++ % Math.max(1, formed.length)]
      if (to !== undefined) effects.push({ kind: 'join', to })
    }
    return effects
  }

  /** The formed cluster has answered. `refused` says in words why it does not take this node in. */
  joined(answer: {
    readonly clusterId: ClusterId
    readonly member: MemberId
    readonly refused: string | undefined
  }): readonly FormationEffect[] {
    if (this.phase !== 'empty' || this.writing !== null) return []
    if (answer.refused !== undefined) {
      const isNews = answer.refused !== this.refusedToJoin
      this.refusedToJoin = answer.refused
      return isNews ? [{ kind: 'refused', text: answer.refused }] : []
    }
    this.writing = 'formed'
    this.joining = { clusterId: answer.clusterId, member: answer.member }
    return [{ kind: 'write-joined', ...this.joining }]
  }

  received(from: NodeId, message: FormationMessage): readonly FormationEffect[] {
    const effects: FormationEffect[] = []
    if (this.phase === 'formed') {
      // A straggler learns that the plan was carried through; a stranger, that there is a cluster that it may ask to join.
      if (message.phase !== 'formed') effects.push({ kind: 'send', to: from, message: this.message() })
      return effects
    }
    if (!this.members.includes(from)) return effects
    this.heard.set(from, message)
    if (message.plan !== null && this.plan !== null && message.plan.clusterId !== this.plan.clusterId) {
      this.refusal = `${from} has the plan of cluster ${message.plan.clusterId}, this node that of ${this.plan.clusterId}; wipe the data folder of the one that is wrong`
      effects.push({ kind: 'refused', text: this.refusal })
      return effects
    }
    const isFirst = from === this.members[0]
    if (message.plan !== null && message.phase === 'forming' && this.phase === 'empty' && isFirst && this.writing === null) {
      if (this.fits(message.plan)) this.write('forming', message.plan, effects)
      else {
        this.refusal = `the plan of ${from} is for other members than this node's configuration lists`
        effects.push({ kind: 'refused', text: this.refusal })
      }
    }
    this.proceed(effects)
    return effects
  }

  /** The identity of the last `write` is on disk. */
  written(): readonly FormationEffect[] {
    const effects: FormationEffect[] = []
    if (this.writing === null || (this.plan === null && this.joining === undefined)) return effects
    this.phase = this.writing
    this.writing = null
    if (this.plan === null) return effects
    if (this.phase === 'formed') {
      for (const member of this.members) if (member !== this.self) effects.push({ kind: 'send', to: member, message: this.message() })
      effects.push({ kind: 'formed', plan: this.plan })
    } else {
      this.proceed(effects)
      for (const member of this.members) if (member !== this.self) effects.push({ kind: 'send', to: member, message: this.message() })
    }
    return effects
  }

  private proceed(effects: FormationEffect[]): void {
    if (this.writing !== null || this.refusal !== undefined) return
    const others = this.members.filter((member) => member !== this.self)
    if (
      this.phase === 'empty' &&
      !this.isInvited &&
      this.members[0] === this.self &&
      others.every((member) => this.heard.get(member)?.phase === 'empty')
    ) {
      const voters = this.members.map((node) => ({ node, member: this.mint(`member-${node}`) as MemberId }))
      this.write('forming', { clusterId: this.mint('cluster') as ClusterId, voters }, effects)
      return
    }
    if (this.phase !== 'forming' || this.plan === null) return
    const same = (member: NodeId): boolean =>
      this.heard.get(member)?.plan?.clusterId === this.plan?.clusterId && this.heard.get(member)?.phase !== 'empty'
    const someFormed = others.some((member) => same(member) && this.heard.get(member)?.phase === 'formed')
    if (someFormed || others.every(same)) this.write('formed', this.plan, effects)
  }

  private write(phase: 'forming' | 'formed', plan: FormationPlan, effects: FormationEffect[]): void {
    this.writing = phase
    this.plan = plan
    effects.push({ kind: 'write', phase, plan })
  }

  private fits(plan: FormationPlan): boolean {
    return (
      plan.voters
        .map((voter) => voter.node)
        .sort()
        .join() === this.members.join()
    )
  }

  private message(): FormationMessage {
    // A plan is told only once it is on disk here.
    return { kind: 'formation', phase: this.phase, plan: this.phase === 'empty' ? null : this.plan }
  }
}
