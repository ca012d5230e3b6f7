/**
 * Heartbeats and leases of this node: sends and takes heartbeats, lives by its own lease, and as leader answers others'.
 *
 * A heartbeat is answered only after a quorum round that began after it came in; which round that is, Raft says.
 */
import type { BootId, BootInstant, Instant, LogIndex, NodeId, SessionId, Settings } from '../base/index.js'
import type { Sight } from '../core/arbiter/index.js'
import { type Address, currentBoot, nodesOf, type Reader } from '../core/cluster/index.js'
import { Detector, LeaseGiver, LeaseHolder } from '../core/detector/index.js'
import type { GuardianQuery } from '../core/guardian/index.js'
import type { NodeIdentity, NodeIo } from './io.js'
import type { Heartbeat, Renewed } from './messages.js'

interface Unanswered {
  readonly node: NodeId
  readonly boot: BootId
  readonly session: SessionId
  readonly sendTime: BootInstant
  readonly received: BootInstant
  readonly link: number
}

/** A guardian that has not answered in this boot is asked again after that. Milliseconds. */
const askedAgainAfter = 1_000

export class Presence {
  readonly detector: Detector
  readonly holder: LeaseHolder
  /** While this node leads. */
  giver: LeaseGiver | undefined
  private readonly self: NodeIdentity
  private readonly io: NodeIo
  private seq = 0
  private lastSent = Number.NEGATIVE_INFINITY
  private waiting: Unanswered[] = []
  private readonly rounds = new Map<string, readonly Unanswered[]>()
  /** Sessions that this leader has answered: from then on only a fresh renewal named is life. */
  private readonly answeredSessions = new Set<SessionId>()
  /** Signs of boots that are proved ended: first sighting, by boot. */
  private readonly ghosts = new Map<BootId, Instant>()
  private readonly silences = new Map<NodeId, Heartbeat>()
  /** Nodes of the cluster that have no member, as they were heard last. */
  private readonly outside = new Map<NodeId, Instant>()
  loopLagMs = 0
  /** What heartbeats say of the others' fence devices. */
  paths: Heartbeat['paths'] = {}
  /** What heartbeats say of the state. */
  state: Heartbeat['state'] = null
  /** The nodes of the cluster, with the address of their first link where one is known. */
  private places: ReadonlyMap<NodeId, Address | undefined>

  constructor(self: NodeIdentity, io: NodeIo) {
    this.self = self
    this.io = io
    this.places = self.members
    this.detector = new Detector(self.node, [...self.members.keys()], io.clock.now(), Math.max(1, self.links.length))
    this.holder = new LeaseHolder(self.session)
  }

  /** Who belongs from now on. */
  setPlaces(places: ReadonlyMap<NodeId, Address | undefined>): void {
    this.places = places
    this.detector.watch([...places.keys()], this.io.clock.now())
    for (const known of [this.asked, this.guardians]) for (const name of known.keys()) if (!places.has(name)) known.delete(name)
  }

  heardOutside(node: NodeId): void {
    this.outside.set(node, this.io.clock.now())
  }

  /** How long nothing at all has come from the node, whether it belongs or not. */
  quiet(node: NodeId): number {
    const now = this.io.clock.now()
    return Math.min(this.detector.quiet(node, now), now - (this.outside.get(node) ?? Number.NEGATIVE_INFINITY))
  }

  lead(): void {
    this.giver = new LeaseGiver(this.io.clock.boot())
    this.answeredSessions.clear()
    this.ghosts.clear()
    this.waiting = []
    this.rounds.clear()
  }

  follow(): void {
    this.giver = undefined
    this.waiting = []
    this.rounds.clear()
  }

  /** Sends a heartbeat to every node over every link when one is due, or `now`. The own node's goes the same way, without a wire. */
  send(state: Reader, settings: Settings, appliedIndex: LogIndex, now = false): void {
    const at = this.io.clock.now()
    if (!now && at - this.lastSent < settings.heartbeatInterval) return
    this.lastSent = at
    const sendTime = this.io.clock.boot()
    const asked = this.holder.askedAt
    const { heard, mutual, oneLink } = this.ownSight(settings)
    const heartbeat: Heartbeat = {
      kind: 'heartbeat',
      boot: this.self.boot,
      session: this.self.session,
      seq: ++this.seq,
      sendTime,
      renewalAgeMs: asked === undefined ? null : sendTime - asked,
      heard,
      appliedIndex,
      state: this.state,
      loopLagMs: this.loopLagMs,
      paths: this.paths,
      mutual,
      oneLink,
      ...(this.self.links.length > 1 ? { badLinks: this.ownBadLinks() } : {}),
    }
    for (const [node, first] of this.places) {
      if (node === this.self.node) this.received(node, 0, heartbeat, state, settings)
      else
        for (const [link, to] of linksOf(state, node, first).entries())
          this.io.datagrams.send(Math.min(link, this.self.links.length - 1), to, heartbeat)
    }
  }

  /**
   * A port answered that nobody listens there. Of a guardian that counts only where it has answered this node before, in this boot: its port
   * may be closed to others.
   */
  refused({ host, port }: Address, state: Reader): void {
    const name = portName({ host, port })
    for (const node of nodesOf(state)) {
      if (!portsOf(state, node.name).includes(name)) continue
      const isGuardian = node.guardian !== null && portName(node.guardian) === name
      if (!isGuardian || this.hasAnswered(node.name, state)) this.detector.refused(node.name, name, this.io.clock.now())
    }
  }

  /** The guardian of a node has answered: its port does not refuse. */
  guardianAnswers(name: NodeId, boot: BootId, state: Reader): void {
    this.guardians.set(name, { boot, at: this.io.clock.now() })
    const guardian = state.get('nodes', name)?.guardian
    if (guardian !== null && guardian !== undefined) this.detector.answers(name, portName(guardian))
  }
  private readonly guardians = new Map<NodeId, { readonly boot: BootId; readonly at: Instant }>()

  private hasAnswered(name: NodeId, state: Reader): boolean {
    const boot = currentBoot(state, name)?.boot
    return boot !== undefined && this.guardians.get(name)?.boot === boot
  }

  /**
   * Every node asks a guardian once in each boot, and again where its daemon's port refuses: whether the guardian's does too is known to
   * whoever leads next. At first it may only be on its way out, so that it is asked twice in the time of a heartbeat until something is known.
   */
  askGuardians(state: Reader, settings: Settings): void {
    const now = this.io.clock.now()
    // A leader asks of those in its own name, so that the answers count for what it decides.
    const suspects = this.giver === undefined ? this.detector.refusing() : []
    for (const [name] of this.places) {
      const guardian = state.get('nodes', name)?.guardian
      if (name === this.self.node || guardian === null || guardian === undefined) continue
      const isSuspect = suspects.includes(name) && this.detector.silence(name, now) < settings.condemned
      if (!isSuspect && this.hasAnswered(name, state)) continue
      const asked = this.asked.get(name) ?? Number.NEGATIVE_INFINITY
      const isKnown = this.detector.portRefuses(name, portName(guardian)) || (this.guardians.get(name)?.at ?? asked) > asked
      const pause = isSuspect ? settings.heartbeatInterval / (isKnown ? 1 : 2) : askedAgainAfter
      if (now - asked < pause) continue
      this.askGuardian(name, guardian, now, isSuspect)
    }
  }

  /** The connection with it has just ended. */
  askWhoIsThere(name: NodeId, state: Reader): void {
    const guardian = state.get('nodes', name)?.guardian
    if (guardian !== null && guardian !== undefined) this.askGuardian(name, guardian, this.io.clock.now(), true)
  }

  private askGuardian(name: NodeId, guardian: Address, now: Instant, isSuspect: boolean): void {
    this.asked.set(name, now)
    const query: GuardianQuery = { kind: 'guardian-query', nonce: this.io.freshId() }
    this.io.datagrams.send(0, guardian, query, isSuspect)
  }
  private readonly asked = new Map<NodeId, Instant>()

  /** Judges anew who is silent. */
  judge(now: Instant, settings: Settings, state: Reader) {
    this.askGuardians(state, settings)
    // Whatever refuses datagrams between the two: with whom a stream stands, that one is there.
    return this.detector.tick(now, settings, (node) => (this.io.peers.isConnected(node) ? [] : portsOf(state, node)))
  }

  /** A heartbeat came in. Answers with the boot of a ghost: one that was proved ended and has gone on showing itself since. */
  received(from: NodeId, link: number, heartbeat: Heartbeat, state: Reader, settings: Settings): { readonly ghost: BootId } | undefined {
    const now = this.io.clock.now()
    const boot = currentBoot(state, from)
    const known = state.get('boots', `${from}/${heartbeat.boot}`)
    if (known?.state === 'ended' && known.proof !== null && (known.proof.kind === 'fenced' || known.proof.kind === 'operator'))
      return this.ghost(heartbeat.boot, now, settings)
    const fresh = heartbeat.renewalAgeMs !== null && heartbeat.renewalAgeMs < settings.query
    const life = this.giver === undefined || !this.answeredSessions.has(heartbeat.session) || fresh
    this.detector.heartbeat(from, link, now, life, heartbeat.session, heartbeat.seq)
    this.silences.set(from, heartbeat)
    for (const node of Object.keys(heartbeat.heard)) this.detector.heardElsewhere(node as NodeId)
    const answerable =
      this.giver !== undefined && boot?.boot === heartbeat.boot && boot.state === 'live' && !this.giver.isWithheld(from, heartbeat.boot)
    if (answerable) {
      this.waiting.push({
        node: from,
        boot: heartbeat.boot,
        session: heartbeat.session,
        sendTime: heartbeat.sendTime,
        received: this.io.clock.boot(),
        link,
      })
    }
    return undefined
  }

  /** Several may have been on their way when the power went, but none for as long as it takes to condemn a node. */
  private ghost(boot: BootId, now: Instant, settings: Settings): { readonly ghost: BootId } | undefined {
    const first = this.ghosts.get(boot)
    if (first === undefined) {
      this.ghosts.set(boot, now)
      return undefined
    }
    if (now - first < settings.condemned) return undefined
    this.ghosts.delete(boot)
    return { ghost: boot }
  }

  /** Heartbeats that wait for proof of the lead: `id` names the round that is to begin now. Undefined when none wait. */
  takeRound(id: string): boolean {
    if (this.waiting.length === 0) return false
    this.rounds.set(id, this.waiting)
    this.waiting = []
    return true
  }

  /** The round was answered by a quorum: renew what may still be renewed. */
  confirmed(id: string, state: Reader, settings: Settings, commitIndex: LogIndex, take: (renewed: Renewed) => void): void {
    const round = this.rounds.get(id)
    this.rounds.delete(id)
    if (this.giver === undefined || round === undefined) return
    for (const one of round) {
      const boot = currentBoot(state, one.node)
      if (boot?.boot !== one.boot || boot.state !== 'live' || this.giver.isWithheld(one.node, one.boot)) continue
      this.giver.answered(one.node, one.boot, one.received)
      this.answeredSessions.add(one.session)
      const renewed: Renewed = {
        kind: 'renewed',
        boot: one.boot,
        session: one.session,
        sendTime: one.sendTime,
        leaseMs: settings.lease,
        commitIndex,
      }
      if (one.node === this.self.node) take(renewed)
      else {
        const first = this.places.get(one.node)
        const to = linksOf(state, one.node, first)[one.link]
        if (to !== undefined) this.io.datagrams.send(Math.min(one.link, this.self.links.length - 1), to, renewed)
      }
    }
  }

  failed(id: string): void {
    this.rounds.delete(id)
  }

  /** Whom this node hears, and who says that it hears this node. */
  private ownSight(settings: Settings): Sight {
    const now = this.io.clock.now()
    const heard: Record<NodeId, number> = {}
    for (const node of this.detector.heardNodes()) heard[node] = Math.round(this.detector.silence(node, now))
    const near = this.detector.heardNodes().filter((node) => this.detector.quiet(node, now) < settings.query)
    return {
      age: 0,
      heard,
      mutual: near.filter((node) => (this.silences.get(node)?.heard[this.self.node] ?? Number.POSITIVE_INFINITY) < settings.query),
      oneLink: near.filter((node) => this.detector.isOnOneLink(node)),
    }
  }

  /** What a node last said of the others; undefined where it said nothing, or is of an earlier version. */
  sightOf(node: NodeId, settings: Settings): Sight | undefined {
    if (node === this.self.node) return this.ownSight(settings)
    const said = this.silences.get(node)
    if (said?.mutual === undefined) return undefined
    const age = this.detector.quiet(node, this.io.clock.now())
    return { age, heard: said.heard, mutual: said.mutual, oneLink: said.oneLink ?? [] }
  }

  private ownBadLinks(): Record<NodeId, readonly number[]> {
    const heard = this.detector.heardNodes().map((node) => [node, this.detector.badLinks(node)] as const)
    return Object.fromEntries(heard.filter(([, bad]) => bad.length > 0))
  }

  /** Links that are worse than another between here and that node, in one direction or the other. */
  badLinks(node: NodeId): readonly number[] {
    const said = this.silences.get(node)?.badLinks?.[this.self.node] ?? []
    return [...new Set([...this.detector.badLinks(node), ...said])].sort()
  }

  /** What the node last said of itself and of whom it hears. */
  telemetry(node: NodeId): Heartbeat | undefined {
    return this.silences.get(node)
  }
}

function linksOf(state: Reader, node: NodeId, first: Address | undefined): readonly Address[] {
  const links = state.get('nodes', node)?.links ?? []
  return links.length > 0 ? links : first === undefined ? [] : [first]
}

/** All that a node listens at for others, its guardian among them; nothing where one of them is not known. */
function portsOf(state: Reader, name: NodeId): readonly string[] {
  const node = state.get('nodes', name)
  if (node === undefined || node.guardian === null || node.links.length === 0) return []
  return [...node.links, node.guardian].map(portName)
}

function portName({ host, port }: Address): string {
  return `${host} ${port}`
}
