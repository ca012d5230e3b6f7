/**
 * Whether this node could cut the others off: it reads the status of their fence devices now and then, long before it matters.
 *
 * A reading does nothing to the device. It shows that the program is there, that the device answers, and that the credentials are
 * right. One more thing shows: a device that says "off" of a node that goes on being heard is wired to something else, or lies. Its
 * word would be taken as proof while the node runs, so it is said in the log, and the device is not believed any more.
 *
 * One reading of a node's devices at a time, for many of them serve few callers, and none while the node has a case: then the
 * arbiter has the device.
 */
import type { BootId, Instant, LogIndex, NodeId } from '../../base/index.js'
import type { Command, FenceDevice } from '../cluster/index.js'
import type { CallOutcome, DeviceCall } from './attempt-runner.js'

/** A node whose devices are to be watched, as this node sees it now. */
export interface WatchedNode {
  readonly name: NodeId
  /** Of the node's row: other devices are other paths. */
  readonly revision: LogIndex
  readonly levels: readonly (readonly FenceDevice[])[]
  /** It has a case, or a call of an attempt may be under way. */
  readonly isBusy: boolean
  /** Its boot that is live by the log, and when this node heard a heartbeat of it last. */
  readonly boot: BootId | undefined
  readonly heardAt: Instant | undefined
  readonly distrusted: boolean
}

export interface PathView {
  readonly self: NodeId
  readonly now: Instant
  /** Milliseconds from one reading to the next. */
  readonly interval: number
  /** A heartbeat may have been on its way for so long, in milliseconds. */
  readonly late: number
  /** All nodes but this one. */
  readonly nodes: readonly WatchedNode[]
}

export type PathState = 'unknown' | 'healthy' | 'failed' | 'lies'

export interface PathReport {
  readonly node: NodeId
  /** Counted from 0, as the attempts do. */
  readonly level: number
  readonly device: number
  readonly agent: string
  readonly state: PathState
  readonly detail: string
  /** Milliseconds since the last reading ended; undefined before the first. */
  readonly ageMs: number | undefined
}

export type PathEffect =
  | { readonly kind: 'call'; readonly call: DeviceCall }
  | { readonly kind: 'cancel'; readonly callId: string }
  | { readonly kind: 'propose'; readonly key: string; readonly command: Command }

interface Path {
  readonly key: string
  readonly node: NodeId
  readonly revision: LogIndex
  readonly level: number
  readonly device: number
  readonly of: FenceDevice
  due: Instant
  state: PathState
  detail: string
  readAt: Instant | undefined
  /** When the last reading ended that said "off", until it is known whether the node lives. */
  off: Instant | undefined
  /** The boot that lived on after the device had said "off" of it. */
  doubted: BootId | undefined
}

/** First readings of a node's devices come so long after it is seen, one path after the other, in milliseconds. */
const firstAfter = 2_000
/** Pause before a reading that is to confirm "off": a controller that starts anew may say anything for a moment. */
const confirmAfter = 10_000
/** A path that failed is read again sooner than one that is well. */
const failedShare = 4
/** Beyond the call's own time: the monitor may have gone with it. */
const lostAfter = 5_000

export class PathWatch {
  private readonly paths = new Map<string, Path>()
  /** The reading under way, by node. */
  private readonly calls = new Map<NodeId, { readonly callId: string; readonly path: Path; readonly since: Instant }>()
  private count = 0
  private readonly life: string

  /** `life` is another one for each process: a monitor that outlives it answers a call of the same name from memory. */
  constructor(life: string) {
    this.life = life
  }

  step(view: PathView): readonly PathEffect[] {
    const effects: PathEffect[] = []
    this.take(view, effects)
    for (const node of view.nodes) {
      const call = this.calls.get(node.name)
      if (call !== undefined) {
        const lost = view.now - call.since > call.path.of.timeout + lostAfter
        if (!node.isBusy && !lost) continue
        this.calls.delete(node.name)
        effects.push({ kind: 'cancel', callId: call.callId })
        if (lost && !node.isBusy) this.read(call.path, 'failed', 'no answer came of the reading', view.now)
        continue
      }
      if (node.isBusy) continue
      this.judge(view, node, effects)
      const next = this.dueOf(node.name, view.now)
      if (next !== undefined) effects.push(this.call(next, view))
    }
    return effects
  }

  /** A device call of a path has ended. Calls of others are not known here. */
  called(outcome: CallOutcome, now: Instant): void {
    for (const [node, { callId, path }] of this.calls) {
      if (callId !== outcome.callId) continue
      this.calls.delete(node)
      if (outcome.code === 0) this.read(path, 'healthy', 'it says on', now)
      else if (outcome.code === 2) this.readOff(path, now)
      else this.read(path, 'failed', outcome.detail, now)
    }
  }

  /** What an earlier monitor ran has ended with it. */
  monitorCame(): void {
    this.calls.clear()
  }

  /** Reads the devices of a node as soon as may be. */
  hurry(node: NodeId): void {
    for (const path of this.paths.values()) if (path.node === node) path.due = Number.NEGATIVE_INFINITY as Instant
  }

  report(now: Instant): readonly PathReport[] {
    return [...this.paths.values()].map(({ node, level, device, of, state, detail, readAt }) => ({
      node,
      level,
      device,
      agent: of.agent,
      state,
      detail,
      ageMs: readAt === undefined ? undefined : Math.round(now - readAt),
    }))
  }

  /** In one word for each node with devices: healthy with a level that answers whole, failed without one. */
  summary(): Readonly<Record<NodeId, PathState>> {
    const found: Record<string, PathState> = {}
    for (const node of new Set([...this.paths.values()].map((path) => path.node))) {
      const own = [...this.paths.values()].filter((path) => path.node === node)
      const levels = [...new Set(own.map((path) => path.level))].map((level) =>
        worst(own.filter((path) => path.level === level).map((path) => path.state)),
      )
      found[node] = best(levels)
    }
    return found
  }

  /** Paths as the log has them now. */
  private take(view: PathView, effects: PathEffect[]): void {
    const wanted = new Set<string>()
    for (const node of view.nodes) {
      for (const [level, devices] of node.levels.entries()) {
        for (const [device, of] of devices.entries()) {
          const key = `${node.name}@${node.revision}/${level}/${device}`
          wanted.add(key)
          if (this.paths.has(key)) continue
          const due = (view.now + firstAfter + spread(view.self)) as Instant
          const { name, revision } = node
          const fresh = { detail: 'not read yet', readAt: undefined, off: undefined, doubted: undefined }
          this.paths.set(key, { key, node: name, revision, level, device, of, due, state: 'unknown', ...fresh })
        }
      }
    }
    for (const [key, path] of this.paths) {
      if (wanted.has(key)) continue
      this.paths.delete(key)
      const call = this.calls.get(path.node)
      if (call?.path !== path) continue
      this.calls.delete(path.node)
      effects.push({ kind: 'cancel', callId: call.callId })
    }
  }

  private dueOf(node: NodeId, now: Instant): Path | undefined {
    let first: Path | undefined
    for (const path of this.paths.values())
      if (path.node === node && path.due <= now && (first === undefined || path.due < first.due)) first = path
    return first
  }

  private call(path: Path, view: PathView): PathEffect {
    const callId = `path/${this.life}/${path.key}/${++this.count}`
    const { agent, parameters, timeout } = path.of
    path.due = (view.now + view.interval) as Instant // Until its answer says otherwise.
    this.calls.set(path.node, { callId, path, since: view.now })
    this.interval = view.interval
    return { kind: 'call', call: { callId, agent, parameters, action: 'status', hold: false, timeout } }
  }
  private interval = 60_000

  private read(path: Path, state: PathState, detail: string, now: Instant): void {
    path.state = state
    path.detail = detail
    path.readAt = now
    path.off = undefined
    path.doubted = undefined
    path.due = (now + (state === 'healthy' ? this.interval : this.interval / failedShare)) as Instant
  }

  /** Of a node that is off it is the truth: whether it lives, what comes of it later says. */
  private readOff(path: Path, now: Instant): void {
    path.readAt = now
    path.off = now
    path.state = path.state === 'lies' ? 'lies' : 'healthy'
    path.detail = 'it says off'
    path.due = (now + this.interval) as Instant
  }

  /** Whether the node went on living after its device had said "off" of it, and again: one reading may be the device's mishap. */
  private judge(view: PathView, node: WatchedNode, effects: PathEffect[]): void {
    const { boot, heardAt } = node
    for (const path of this.paths.values()) {
      if (path.node !== node.name || path.off === undefined || boot === undefined || heardAt === undefined) continue
      if (heardAt - path.off <= view.late) continue
      path.off = undefined
      const again = path.doubted === boot
      path.doubted = boot
      if (!again) {
        path.due = (view.now + Math.min(confirmAfter, view.interval)) as Instant
        continue
      }
      path.state = 'lies'
      path.detail = `it says off of boot ${boot}, which is heard`
      // Of two supplies one may be off; only a level that says off as a whole would be believed.
      const level = [...this.paths.values()].filter((other) => other.node === path.node && other.level === path.level)
      if (node.distrusted || level.some((other) => other.state !== 'lies' || other.doubted !== boot)) continue
      const detail = `its device ${path.of.agent} says off, read by ${view.self} twice, and its heartbeats go on`
      effects.push({
        kind: 'propose',
        key: `doubt/${path.key}`,
        command: { kind: 'doubt-device', node: node.name, boot, revision: path.revision, detail },
      })
    }
  }
}

/** So that not all nodes ask a device in the same moment: up to two seconds by the name, in milliseconds. */
function spread(self: NodeId): number {
  let sum = 0
  for (const letter of self) sum += letter.charCodeAt(0)
  return (sum % 5) * 500
}

function worst(states: readonly PathState[]): PathState {
  return (['lies', 'failed', 'unknown'] as const).find((state) => states.includes(state)) ?? 'healthy'
}

function best(states: readonly PathState[]): PathState {
  return (['healthy', 'unknown', 'lies'] as const).find((state) => states.includes(state)) ?? 'failed'
}
