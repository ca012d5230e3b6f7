/**
 * Judges whether a node is alive from the rhythm of its heartbeats.
 *
 * Thresholds are cumulative silence, less the observer's own stalls. Pure: the caller brings the time. It says how
 * silent a node is; what to do about that is the arbiter's.
 */
import { type Instant, instant, type NodeId, type Settings } from '../../base/index.js'

export type Stage = 'JOINING' | 'HEALTHY' | 'MISSED' | 'QUERY' | 'CHALLENGE' | 'CONDEMNED'

export interface Transition {
  readonly node: NodeId
  readonly from: Stage
  readonly to: Stage
  readonly silenceMs: number
}

interface Watched {
  stage: Stage
  /** Last sign of life, moved forward by the observer's own stalls. */
  alive: number
  /** Last authenticated heartbeat, whether it proved life or not. */
  reached: number
  /** Heard at all since this observer started. */
  heard: boolean
  readonly links: Map<number, WatchedLink>
  missed: number
  /** Ports of the node at which nobody listens, as its own machine says, and when it said so last. */
  readonly refusals: Map<string, number>
  /**
   * Ports that refused while the node lived: what stands between answers for them, and says nothing of the node. Once is not enough, for a
   * heartbeat may have been on its way longer than the refusal.
   */
  readonly lies: Map<string, 'once' | 'again'>
  /** The life of its daemon that was heard last. */
  session: string | undefined
  /** All of them, and not only for a moment. */
  refuses: boolean
  /** Since when it is watched. */
  readonly since: Instant
}

interface WatchedLink {
  last: number
  /** As `last`, moved forward by the observer's own stalls. */
  alive: number
  count: number
  /** Nothing came over it for as long as condemns a node. */
  isDown: boolean
  /** How often that began. */
  lost: number
  /** The number of the heartbeat that came last, and the share of the latest ones that did not come, between 0 and 1. */
  seq: number | undefined
  loss: number
  /** Another link does better. */
  isBad: boolean
}

export interface DetectorReport {
  readonly node: NodeId
  readonly stage: Stage
  readonly silenceMs: number
  readonly heard: boolean
  readonly missed: number
  /** Every port of it refuses. */
  readonly refuses: boolean
  readonly links: readonly LinkReport[]
  /** It is heard over one link of several. */
  readonly oneLink: boolean
}

export interface LinkReport {
  readonly link: number
  readonly silenceMs: number
  readonly heartbeats: number
  readonly isDown: boolean
  /** How often it has fallen silent. */
  readonly lost: number
  /** Share of the latest heartbeats that did not come over it. */
  readonly loss: number
}

/** Ticks further apart than this are the observer's own stall. Milliseconds. */
const stallThreshold = 30
/** Weight of one heartbeat in the share of those that are lost: about the latest twenty count. */
const lossWeight = 0.05
/** A link that loses more is bad, where another does better; it is good again once it loses less than the second. */
const lossBad = 0.1
const lossGood = 0.03
/** So many heartbeats that do not come over a link, and come over another, make it bad at once. */
const missingBad = 3

export class Detector {
  private readonly self: NodeId
  /** Links of this node: over each of them the others can be heard. */
  private readonly linkCount: number
  private readonly watched = new Map<NodeId, Watched>()
  private lastTick: Instant
  private readonly recovered: Transition[] = []
  /** Sum of the observer's own stalls. Milliseconds. */
  stalledMs = 0

  constructor(self: NodeId, nodes: readonly NodeId[], now: Instant, linkCount = 1) {
    this.self = self
    this.linkCount = linkCount
    this.lastTick = now
    this.watch(nodes, now)
  }

  /** These nodes belong from now on, and no others. */
  watch(nodes: readonly NodeId[], now: Instant): void {
    for (const node of [...this.watched.keys()]) if (!nodes.includes(node)) this.watched.delete(node)
    for (const node of nodes) {
      if (node !== this.self && !this.watched.has(node))
        this.watched.set(node, {
          stage: 'JOINING',
          alive: now,
          reached: Number.NEGATIVE_INFINITY,
          heard: false,
          links: new Map(Array.from({ length: this.linkCount }, (_, link) => [link, freshLink(now)])),
          missed: 0,
          refusals: new Map(),
          lies: new Map(),
          session: undefined,
          refuses: false,
          since: now,
        })
    }
  }

  /**
   * A heartbeat came. `life` is false where it proves no life (it names no fresh renewal); `session` is the life of the daemon that
   * sent it, `seq` its number in that life, the same over every link.
   */
  heartbeat(node: NodeId, link: number, now: Instant, life: boolean, session = '', seq?: number): void {
    const watched = this.watched.get(node)
    if (watched === undefined) return
    watched.heard = true
    watched.reached = now
    // The same daemon was there all the time: whoever said that nobody listens did not know.
    if (watched.session === session)
      for (const port of watched.refusals.keys()) watched.lies.set(port, watched.lies.has(port) ? 'again' : 'once')
    else watched.lies.clear()
    if (watched.session !== session) for (const one of watched.links.values()) one.seq = undefined
    watched.session = session
    watched.refusals.clear()
    watched.refuses = false
    const known = watched.links.get(link) ?? freshLink(now)
    watched.links.set(link, known)
    Object.assign(known, { last: now, alive: now, count: known.count + 1, isDown: false })
    if (seq !== undefined) countLoss(known, seq)
    if (life) this.lives(node, now)
  }

  /** A sign of life, in a heartbeat or through the log, ends the suspicion at once, not with the next tick. */
  lives(node: NodeId, now: Instant): void {
    const watched = this.watched.get(node)
    if (watched === undefined) return
    watched.alive = Math.max(watched.alive, now)
    watched.refuses = false
    if (watched.stage === 'HEALTHY') return
    this.recovered.push({ node, from: watched.stage, to: 'HEALTHY', silenceMs: 0 })
    watched.stage = 'HEALTHY'
  }

  /** A port of the node answered that nobody listens there: its machine is up, and what was there has ended. */
  refused(node: NodeId, port: string, now: Instant): void {
    const watched = this.watched.get(node)
    if (watched !== undefined && watched.lies.get(port) !== 'again') watched.refusals.set(port, now)
  }

  /** Somebody answers at the port after all. */
  answers(node: NodeId, port: string): void {
    const watched = this.watched.get(node)
    watched?.lies.delete(port)
    if (watched?.refusals.delete(port) === true) watched.refuses = false
  }

  /** Some port of it has refused since it was heard last. */
  hasRefused(node: NodeId): boolean {
    return (this.watched.get(node)?.refusals.size ?? 0) > 0
  }

  /** Nodes of which some port has refused since they were heard last. */
  refusing(): readonly NodeId[] {
    const found: NodeId[] = []
    for (const [node, { refusals }] of this.watched) if (refusals.size > 0) found.push(node)
    return found
  }

  /** This port of it has refused since it was heard or answered last. */
  portRefuses(node: NodeId, port: string): boolean {
    return this.watched.get(node)?.refusals.has(port) === true
  }

  /** Every port of it refuses, those of its links and its guardian's: there is nobody left to ask. */
  refuses(node: NodeId): boolean {
    return this.watched.get(node)?.refuses === true
  }

  /** Judges anew. Call it after everything that waits has been taken in. `portsOf`: all that a node listens at, its guardian among them. */
  tick(now: Instant, settings: Settings, portsOf: (node: NodeId) => readonly string[] = () => []): readonly Transition[] {
    const gap = now - this.lastTick
    this.lastTick = now
    if (gap > stallThreshold) {
      this.stalledMs += gap
      for (const watched of this.watched.values()) {
        watched.alive = Math.min(now, watched.alive + gap)
        for (const link of watched.links.values()) link.alive = Math.min(now, link.alive + gap)
      }
    }
    const transitions: Transition[] = this.recovered.splice(0)
    for (const [node, watched] of this.watched) {
      const silenceMs = now - watched.alive
      for (const link of watched.links.values()) {
        const isDown = watched.heard && now - link.alive >= settings.condemned
        if (isDown && !link.isDown) link.lost++
        link.isDown = isDown
      }
      if (watched.links.size > 1) judgeLinks([...watched.links.values()], now, settings)
      watched.refuses =
        Math.min(silenceMs, now - watched.reached) > missedAfter(settings) &&
        watched.refusals.size > 0 &&
        allRefuse(portsOf(node), watched.refusals, now, settings)
      const to = this.stageFor(watched, silenceMs, now, settings)
      if (to === watched.stage) continue
      if (to === 'MISSED') watched.missed++
      transitions.push({ node, from: watched.stage, to, silenceMs })
      watched.stage = to
    }
    return transitions
  }

  private stageFor(watched: Watched, silenceMs: number, now: Instant, settings: Settings): Stage {
    // A node that nobody has heard since the observer's own start may still be starting (startGrace).
    if (!watched.heard && now - watched.since < settings.startGrace) return 'JOINING'
    if (silenceMs >= settings.condemned || watched.refuses) return 'CONDEMNED'
    if (silenceMs >= settings.challenge) return 'CHALLENGE'
    if (silenceMs >= settings.query) return 'QUERY'
    return silenceMs > missedAfter(settings) ? 'MISSED' : 'HEALTHY'
  }

  /** Another voter has heard the node since its own start: it is no longer merely starting. */
  heardElsewhere(node: NodeId): void {
    const watched = this.watched.get(node)
    if (watched !== undefined) watched.heard = true
  }

  stage(node: NodeId): Stage {
    return node === this.self ? 'HEALTHY' : (this.watched.get(node)?.stage ?? 'JOINING')
  }

  silence(node: NodeId, now: Instant): number {
    return node === this.self ? 0 : now - (this.watched.get(node)?.alive ?? instant(0))
  }

  /** How long nothing at all has come from the node; a condemned one is not renewed, so that its heartbeats prove no life but show that it is there. */
  quiet(node: NodeId, now: Instant): number {
    return node === this.self ? 0 : now - (this.watched.get(node)?.reached ?? Number.NEGATIVE_INFINITY)
  }

  /** It is heard, over one link of several: the next that fails makes it a case. */
  isOnOneLink(node: NodeId): boolean {
    const links = [...(this.watched.get(node)?.links.values() ?? [])]
    return links.length > 1 && links.filter(({ isDown }) => !isDown).length === 1
  }

  /** Links over which less of the node comes than over another. */
  badLinks(node: NodeId): readonly number[] {
    return [...(this.watched.get(node)?.links ?? [])].flatMap(([link, { isBad }]) => (isBad ? [link] : []))
  }

  heardNodes(): readonly NodeId[] {
    return [...this.watched].filter(([, watched]) => watched.heard).map(([node]) => node)
  }

  report(now: Instant): readonly DetectorReport[] {
    return [...this.watched].map(([node, watched]) => ({
      node,
      stage: watched.stage,
      silenceMs: Math.round(now - watched.alive),
      heard: watched.heard,
      missed: watched.missed,
      refuses: watched.refuses,
      links: [...watched.links].map(([link, { last, count, isDown, lost, loss }]) => ({
        link,
        silenceMs: Math.round(now - last),
        heartbeats: count,
        isDown,
        lost,
        loss: Math.round(loss * 100) / 100,
      })),
      oneLink: this.isOnOneLink(node),
    }))
  }
}

function freshLink(now: Instant): WatchedLink {
  return { last: now, alive: now, count: 0, isDown: false, lost: 0, seq: undefined, loss: 0, isBad: false }
}

/** Those between the last and this one did not come; one that comes late was counted as lost, and stays so. */
function countLoss(link: WatchedLink, seq: number): void {
  const last = link.seq ?? seq - 1
  if (seq <= last) return
  const missing = Math.min(100, seq - last - 1)
  link.loss = (1 - (1 - link.loss) * (1 - lossWeight) ** missing) * (1 - lossWeight)
  link.seq = seq
}

function judgeLinks(links: readonly WatchedLink[], now: Instant, settings: Settings): void {
  const isBad = (link: WatchedLink): boolean =>
    link.isDown || now - link.alive > missingBad * settings.heartbeatInterval || link.loss > (link.isBad ? lossGood : lossBad)
  const bad = links.map(isBad)
  // Where all are bad, none is to be preferred.
  for (const [at, link] of links.entries()) link.isBad = bad[at] === true && bad.includes(false)
}

/** The first silent interval, with what a heartbeat may be late. Milliseconds. */
function missedAfter(settings: Settings): number {
  return settings.heartbeatInterval * 1.5
}

/**
 * What a port said is news until silence alone would condemn. Not for less: a machine says it rarely (Linux to each destination six times,
 * then once a second). A port that is in use again is connected with, or answers, or its node is heard.
 */
function allRefuse(ports: readonly string[], refusals: ReadonlyMap<string, number>, now: Instant, settings: Settings): boolean {
  const newsFrom = now - settings.condemned
  return ports.length > 0 && ports.every((port) => (refusals.get(port) ?? Number.NEGATIVE_INFINITY) > newsFrom)
}
