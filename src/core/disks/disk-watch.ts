/**
 * Keeps this node's key on the shared disks, and does there what cases need: takes a suspect's key away and looks whether it
 * comes back (the challenge), or takes it away for good (storage fencing).
 *
 * One request at a time for each disk; what is asked next follows from what is known then. Pure: the caller brings the time and
 * has the requests carried out.
 *
 * Invariant (P1): on a disk of use `storage` a node registers only while it holds nothing there, and nothing runs on it that it does not
 * hold: what lost its token by a `storage` proof may still be there, stopped or asleep, and would write again. Its key, once gone, comes back
 * under no token that was open when it went, so that a key that was taken away stays away as long as it matters: nothing that
 * the disk or this process does late can undo a `storage` proof.
 */
import {
  type BootId,
  type BootInstant,
  type DiskName,
  type Instant,
  invariant,
  type LogIndex,
  type NodeId,
  unreachable,
} from '../../base/index.js'
import type { CallOutcome, DeviceCall } from '../arbiter/index.js'
import {
  bootsOf,
  type CaseRow,
  type Command,
  currentBoot,
  type DiskRow,
  disksOf,
  groupsOf,
  levelInForce,
  mayStillRun,
  metaOf,
  openCaseOf,
  openCases,
  type Reader,
  sharedDiskLevel,
} from '../cluster/index.js'
import { diskKey } from './key.js'
import { type DiskAnswer, type DiskKey, type DiskOrder, type DiskPlace, type DiskRequest, exclusiveAccess } from './orders.js'

export interface DiskView {
  readonly self: NodeId
  readonly boot: BootId
  readonly state: Reader
  /** Within the lease, and everything applied that was committed when it was renewed. */
  readonly mayAct: boolean
  readonly now: Instant
  /** For the outcome of calls. */
  readonly reading: BootInstant
  /** Nothing runs here, or may, under a token that this boot does not hold. */
  readonly isClear: () => boolean
  /** Between CHALLENGE and CONDEMNED a key has to come back and be seen. Milliseconds. */
  readonly challengeTime: number
}

export type DiskEffect =
  | { readonly kind: 'order'; readonly order: DiskOrder }
  /** These are to be open, and no others. */
  | { readonly kind: 'open'; readonly disks: readonly { readonly name: DiskName; readonly place: DiskPlace }[] }
  | { readonly kind: 'called'; readonly outcome: CallOutcome }
  | { readonly kind: 'propose'; readonly key: string; readonly command: Command }

/** `lost`: its key is known not to stand there. `unknown`: nothing is known yet, or nothing can be asked. */
export type DiskStanding = 'ready' | 'lost' | 'unknown'

/** How a node stands on a disk now, for people. */
export interface DiskReport {
  readonly disk: DiskName
  readonly standing: DiskStanding
  readonly detail: string
  /** This node's own: services that reach the disk by sessions of their own register with it. */
  readonly key: DiskKey
  readonly keys: readonly DiskKey[]
  readonly reservation: number | null
}

interface Watched {
  row: DiskRow
  pending: { readonly order: DiskOrder; readonly call: Call | undefined; readonly challenge: Challenge | undefined } | undefined
  session: string
  /** Undefined until it was read. */
  mine: boolean | undefined
  keys: readonly DiskKey[]
  reservation: DiskAnswer['reservation']
  /** When the keys are to be read next, and whether the reservation is to be read first. */
  due: Instant
  readsReservation: boolean
  /** The disk answered conflict or worse: nothing is tried on our own account before then. */
  pausedUntil: Instant
  detail: string
  lostSince: Instant | undefined
  /** It does not know PREEMPT AND ABORT. */
  abortless: boolean
  readonly calls: Call[]
}

interface Call {
  readonly call: DeviceCall
  readonly victims: readonly DiskKey[]
  readonly until: Instant
  step: 'look' | 'reservation' | 'keys'
  tries: number
}

interface Challenge {
  readonly id: string
  readonly victim: DiskKey
  /** Its key was taken away, or seen not to be there, since the challenge. */
  gone: boolean
  answered: boolean
}

/** How often the keys of a disk with groups are read, in milliseconds. */
const storageInterval = 250
const challengeShare = 5
const challengeIntervalMin = 15
/** After an answer that was not good, in milliseconds. */
const pause = 500
/** A key that is taken away by a challenge is back before that: it is not told as lost. Milliseconds. */
const lostAfter = 2_000
/** Somebody else may act on the same disk at the same moment. */
const triesMax = 10
const none: readonly DiskRow[] = []

export class DiskWatch {
  private readonly disks = new Map<DiskName, Watched>()
  private readonly held = new Map<string, DeviceCall>()
  private readonly challenges = new Map<string, Challenge>()
  /** Disks that are none of ours any more, until this node's key is off them. */
  private readonly leaving = new Map<DiskName, { readonly place: DiskPlace; readonly id: string; readonly until: Instant }>()
  private readonly life: string
  private count = 0
  private opened = ''
  /** As they were taken last: the log's list is the same one until a disk changes. */
  private rows: readonly DiskRow[] | undefined
  /** No disk that is none of ours any more was open when they were taken. */
  private isLeft = true
  private own: { readonly cluster: string; readonly key: DiskKey } | undefined

  /** `life` is another one for each process: late answers to an earlier one are not ours. */
  constructor(life: string) {
    this.life = life
  }

  step(view: DiskView): readonly DiskEffect[] {
    const effects: DiskEffect[] = []
    this.take(view, effects)
    this.followCases(view)
    for (const disk of this.disks.values()) {
      this.endLateCalls(view, disk, effects)
      if (disk.pending === undefined) this.next(view, disk, effects)
      this.tell(view, disk, effects)
    }
    return effects
  }

  /** How this node stands there: groups that live on a lost disk are to end here, and nothing is started on one that is not ready. */
  standing(name: DiskName): DiskStanding {
    const disk = this.disks.get(name)
    if (disk === undefined || disk.mine === undefined) return 'unknown'
    if (!disk.mine) return 'lost'
    return disk.row.definition.use === 'challenge' || disk.reservation?.type === exclusiveAccess ? 'ready' : 'unknown'
  }

  report(view: DiskView): readonly DiskReport[] {
    const key = this.ownKey(view)
    return [...this.disks.values()].map(({ row, detail, keys, reservation }) => ({
      disk: row.name,
      key,
      standing: this.standing(row.name),
      detail,
      keys,
      reservation: reservation?.type ?? null,
    }))
  }

  // Calls, as of fence devices.

  /** One that is held waits for its release. */
  call(view: DiskView, call: DeviceCall): readonly DiskEffect[] {
    if (!call.hold) return this.begin(view, call)
    this.held.set(call.callId, call)
    return []
  }

  /** False where the call is none of a disk. */
  release(view: DiskView, callId: string): readonly DiskEffect[] | undefined {
    const call = this.held.get(callId)
    if (call === undefined) return undefined
    this.held.delete(callId)
    return this.begin(view, call)
  }

  /** What was asked of the disk already cannot be called back. */
  cancel(callId: string): boolean {
    const wasHeld = this.held.delete(callId)
    for (const disk of this.disks.values()) {
      const at = disk.calls.findIndex(({ call }) => call.callId === callId)
      if (at < 0) continue
      disk.calls.splice(at, 1)
      return true
    }
    return wasHeld
  }

  private begin(view: DiskView, call: DeviceCall): readonly DiskEffect[] {
    const disk = this.disks.get(call.parameters.disk as DiskName)
    if (disk === undefined || disk.row.definition.use !== 'storage')
      return [ended(view, call, 1, `there is no shared disk ${call.parameters.disk}`)]
    if (call.action === 'on') return [ended(view, call, 1, 'a node that is cut off from its storage is back after a restart')]
    const victims = call.target === undefined ? [] : keysOf(view, call.target.node, call.target.boot)
    disk.calls.push({ call, victims, until: (view.now + call.timeout) as Instant, step: 'look', tries: 0 })
    return this.step(view)
  }

  private endLateCalls(view: DiskView, disk: Watched, effects: DiskEffect[]): void {
    for (const one of [...disk.calls]) {
      // Nothing is begun that could go on beyond the call's own time.
      const isUnderWay = disk.pending?.call === one
      if (isUnderWay || view.now + disk.row.definition.timeout <= one.until) continue
      this.endCall(view, disk, one, undefined, `no time is left: ${disk.detail || 'the disk is slow'}`, effects)
    }
  }

  private endCall(view: DiskView, disk: Watched, one: Call, code: number | undefined, detail: string, effects: DiskEffect[]): void {
    const at = disk.calls.indexOf(one)
    if (at < 0) return // It was cancelled.
    disk.calls.splice(at, 1)
    effects.push(ended(view, one.call, code, detail))
  }

  // The log.

  /** Disks as the log has them now. */
  private take(view: DiskView, effects: DiskEffect[]): void {
    const rows = levelInForce(view.state) < sharedDiskLevel ? none : disksOf(view.state)
    if (rows === this.rows && this.isLeft) return
    this.rows = rows
    for (const row of rows) {
      const known = this.disks.get(row.name)
      if (known !== undefined && known.row.place === row.place) known.row = row
      else this.disks.set(row.name, fresh(row, view.now))
    }
    for (const [name, disk] of [...this.disks]) if (!rows.some((row) => row.name === name)) this.leave(view, disk, effects)
    for (const [name, { until }] of this.leaving) if (until <= view.now || this.disks.has(name)) this.leaving.delete(name)
    this.isLeft = this.leaving.size === 0
    const open = [
      ...rows.map(({ name, definition }) => ({ name, place: placeOf(definition) })),
      ...[...this.leaving].map(([name, { place }]) => ({ name, place })),
    ]
    const wanted = JSON.stringify(open)
    if (wanted === this.opened) return
    this.opened = wanted
    effects.push({ kind: 'open', disks: open })
  }

  /** Nobody else could use the disk while keys of ours stand there. Tried once: who comes next can clear it. */
  private leave(view: DiskView, { row, mine, pending }: Watched, effects: DiskEffect[]): void {
    this.disks.delete(row.name)
    if (mine !== true || pending !== undefined) return
    const { timeout } = row.definition
    const id = `${this.life}-${++this.count}`
    const until = (view.now + timeout) as Instant
    this.leaving.set(row.name, { place: placeOf(row.definition), id, until })
    effects.push({ kind: 'order', order: { disk: row.name, id, request: { do: 'unregister', key: this.ownKey(view) }, timeout } })
  }

  /** Challenges that this node conducts. */
  private followCases(view: DiskView): void {
    const mine = view.mayAct ? openCases(view.state).filter((row) => isChallengedBy(row, view.self)) : []
    for (const id of [...this.challenges.keys()]) if (!mine.some((row) => row.id === id)) this.challenges.delete(id)
    for (const { id, node, boot } of mine) {
      if (this.challenges.has(id)) continue
      const victim = diskKey(metaOf(view.state).clusterName, node, boot)
      this.challenges.set(id, { id, victim, gone: false, answered: false })
      for (const disk of this.disks.values()) if (disk.row.definition.use === 'challenge') disk.due = view.now
    }
  }

  /** Tells the log how this boot stands, when that has changed. */
  private tell(view: DiskView, disk: Watched, effects: DiskEffect[]): void {
    const boot = currentBoot(view.state, view.self)
    if (boot?.boot !== view.boot) return
    const { name, place, definition } = disk.row
    const standing = this.standing(name)
    if (standing === 'lost') disk.lostSince ??= view.now
    else disk.lostSince = undefined
    if (standing === 'unknown' || (standing === 'ready' && (boot.state !== 'live' || !view.mayAct))) return
    const ready = standing === 'ready'
    const told = boot.disks?.[name]
    const wasReady = told?.ready === true && told.place === place
    if (told?.ready === ready && told.place === place) return
    const mayPass = definition.use === 'challenge' || !wasReady
    if (mayPass && disk.lostSince !== undefined && view.now - disk.lostSince < lostAfter) return
    effects.push({
      kind: 'propose',
      key: `disk/${name}/${place}/${ready}/${disk.session}`,
      command: { kind: 'disk-state', node: view.self, boot: view.boot, disk: name, place, ready, detail: ready ? '' : disk.detail },
    })
  }

  // What is asked next.

  private next(view: DiskView, disk: Watched, effects: DiskEffect[]): void {
    const [one] = disk.calls
    if (one !== undefined) return this.nextOfCall(view, disk, one, effects)
    const own = this.ownKey(view)
    const challenge = disk.row.definition.use === 'challenge' ? this.nextChallenge(disk) : undefined
    if (challenge !== undefined && view.mayAct)
      return this.order(disk, { do: 'preempt', key: own, victim: challenge.victim, type: exclusiveAccess }, effects, { challenge })
    if (view.now >= disk.pausedUntil) {
      const request = this.wish(view, disk, own)
      if (request !== undefined) return this.order(disk, request, effects)
    }
    const isUnknown = disk.readsReservation && disk.mine === true && disk.reservation === undefined
    if (view.now < disk.due && !isUnknown) return
    if (disk.readsReservation) {
      disk.readsReservation = false
      return this.order(disk, { do: 'reservation' }, effects)
    }
    disk.due = (view.now + intervalOf(view, disk.row)) as Instant
    disk.readsReservation = disk.row.definition.use === 'storage'
    this.order(disk, { do: 'keys', key: own }, effects)
  }

  /** On its own account: its key, the reservation, and no keys of its earlier boots. */
  private wish(view: DiskView, disk: Watched, own: DiskKey): DiskRequest | undefined {
    if (disk.mine === undefined || !view.mayAct) return undefined
    if (!disk.mine) return this.mayRegister(view, disk.row) ? { do: 'register', key: own } : undefined
    if (disk.row.definition.use === 'storage' && disk.reservation === null) return { do: 'reserve', key: own, type: exclusiveAccess }
    const earlier = keysOf(view, view.self, view.boot).find((key) => key !== own && disk.keys.includes(key))
    return earlier === undefined ? undefined : { do: 'preempt', key: own, victim: earlier, type: exclusiveAccess }
  }

  /**
   * Once the log has taken a key for standing, a group may have been granted here of which this node has not heard yet: before a key that
   * is gone comes back, everything has to be applied up to the entry that says so, and nothing is granted from then on.
   */
  private mayRegister(view: DiskView, { name, place, definition }: DiskRow): boolean {
    const boot = currentBoot(view.state, view.self)
    if (boot?.boot !== view.boot || boot.state !== 'live') return false
    // Whoever is challenged answers by it.
    if (definition.use === 'challenge') return true
    if (openCaseOf(view.state, view.self) !== undefined) return false
    const told = boot.disks?.[name]
    if (told?.ready === true && told.place === place) return false
    const holds = groupsOf(view.state).some(
      (group) => mayStillRun(group) && group.holder.node === view.self && group.holder.pinned.storage === name,
    )
    return !holds && view.isClear()
  }

  private nextChallenge(disk: Watched): Challenge | undefined {
    if (disk.mine !== true) return undefined
    return [...this.challenges.values()].find(({ gone, victim }) => !gone && disk.keys.includes(victim))
  }

  private nextOfCall(view: DiskView, disk: Watched, one: Call, effects: DiskEffect[]): void {
    const own = this.ownKey(view)
    switch (one.step) {
      case 'look':
        return this.order(disk, { do: 'reservation' }, effects, { call: one })
      case 'reservation':
        return this.order(disk, { do: 'reserve', key: own, type: exclusiveAccess }, effects, { call: one })
      case 'keys': {
        const victim = one.call.action === 'off' ? one.victims.find((key) => disk.keys.includes(key)) : undefined
        if (victim === undefined) return this.order(disk, { do: 'keys', key: own }, effects, { call: one })
        const what = disk.abortless ? 'preempt' : 'preempt-abort'
        return this.order(disk, { do: what, key: own, victim, type: exclusiveAccess }, effects, { call: one })
      }
      default:
        return unreachable(one.step)
    }
  }

  private order(
    disk: Watched,
    request: DiskRequest,
    effects: DiskEffect[],
    of: { readonly call?: Call; readonly challenge?: Challenge } = {},
  ): void {
    invariant(disk.pending === undefined, 'one request at a time', { disk: disk.row.name })
    const order: DiskOrder = {
      disk: disk.row.name,
      id: `${this.life}-${++this.count}`,
      request,
      timeout: disk.row.definition.timeout,
    }
    disk.pending = { order, call: of.call, challenge: of.challenge }
    effects.push({ kind: 'order', order })
  }

  /** Asked at every step; node and boot are those of this process. */
  private ownKey(view: DiskView): DiskKey {
    const cluster = metaOf(view.state).clusterName
    if (this.own?.cluster !== cluster) this.own = { cluster, key: diskKey(cluster, view.self, view.boot) }
    return this.own.key
  }

  // What comes back.

  answered(view: DiskView, answer: DiskAnswer): readonly DiskEffect[] {
    if (this.leaving.get(answer.disk)?.id === answer.id) {
      this.leaving.delete(answer.disk)
      return this.step(view)
    }
    const disk = this.disks.get(answer.disk)
    if (disk?.pending === undefined || disk.pending.order.id !== answer.id) return []
    const { order, call, challenge } = disk.pending
    disk.pending = undefined
    const effects: DiskEffect[] = []
    this.learn(view, disk, order.request, answer)
    if (order.request.do === 'keys' && answer.status === 'good') this.judgeChallenges(view, disk, effects)
    // Any other answer says nothing of it: the keys are read again.
    if (challenge !== undefined && answer.status === 'good') challenge.gone = true
    else if (challenge !== undefined) disk.keys = disk.keys.filter((key) => key !== challenge.victim)
    if (challenge !== undefined && answer.status !== 'failed') disk.due = view.now
    if (call !== undefined) this.advance(view, disk, call, order.request, answer, effects)
    return [...effects, ...this.step(view)]
  }

  private learn(view: DiskView, disk: Watched, request: DiskRequest, answer: DiskAnswer): void {
    // A lost session of our own is a lost registration; by a block device the kernel's sessions count.
    const isOurs = disk.row.definition.iscsi !== undefined
    if (isOurs && answer.session !== disk.session && disk.session !== '' && disk.mine === true) this.lose(disk, 'the session was lost')
    if (answer.status !== 'failed') disk.session = answer.session
    if (answer.status === 'failed') {
      if (isOurs) this.lose(disk, answer.detail)
      else disk.detail = answer.detail
      disk.pausedUntil = (view.now + pause) as Instant
      disk.due = disk.pausedUntil
      return
    }
    if (answer.status !== 'good') {
      disk.detail = answer.detail
      if (answer.status !== 'attention') disk.pausedUntil = (view.now + pause) as Instant
      if (request.do === 'preempt-abort' && answer.status === 'refused') disk.abortless = true
      disk.due = view.now
      return
    }
    switch (request.do) {
      case 'keys':
        disk.keys = answer.keys ?? []
        if (answer.mine === true) disk.detail = ''
        else if (disk.mine !== false) disk.detail = disk.keys.length === 0 ? 'nobody stands there' : 'its key is not there'
        disk.mine = answer.mine === true
        return
      case 'reservation':
        disk.reservation = answer.reservation
        if (answer.reservation !== null && answer.reservation?.type !== exclusiveAccess)
          disk.detail = `another reservation stands there (type ${answer.reservation?.type})`
        return
      default:
        // What was changed is read back.
        disk.due = view.now
        disk.readsReservation = false
        if (request.do === 'register') disk.mine = undefined
        if (request.do === 'reserve') disk.reservation = undefined
    }
  }

  private lose(disk: Watched, detail: string): void {
    disk.mine = false
    disk.keys = []
    disk.reservation = undefined
    disk.detail = detail
  }

  private judgeChallenges(view: DiskView, disk: Watched, effects: DiskEffect[]): void {
    if (disk.row.definition.use !== 'challenge') return
    for (const challenge of this.challenges.values()) {
      const stands = disk.keys.includes(challenge.victim)
      if (!challenge.gone) {
        // One that was not there can only come from somebody who lives now.
        challenge.gone = !stands
        continue
      }
      if (!stands || challenge.answered) continue
      challenge.answered = true
      const row = view.state.get('cases', challenge.id)
      if (row === undefined || row.stage !== 'CHALLENGE') continue
      effects.push({
        kind: 'propose',
        key: `disk-answer/${row.id}`,
        command: { kind: 'disk-answer', caseId: row.id, arbiter: view.self, nonce: row.nonce, disk: disk.row.name },
      })
    }
  }

  private advance(view: DiskView, disk: Watched, one: Call, request: DiskRequest, answer: DiskAnswer, effects: DiskEffect[]): void {
    const { call } = one
    const end = (code: number | undefined, detail: string) => this.endCall(view, disk, one, code, detail, effects)
    if (++one.tries > triesMax + 2 * one.victims.length) return end(1, `the disk does not settle: ${disk.detail}`)
    if (answer.status === 'failed' || answer.status === 'error') return end(undefined, answer.detail)
    if (request.do === 'reservation') {
      if (answer.status === 'attention') return
      if (answer.status !== 'good') return end(1, answer.detail)
      const type = answer.reservation?.type
      if (type === exclusiveAccess) one.step = 'keys'
      else if (type !== undefined) return end(1, disk.detail)
      else if (call.action === 'status') return end(1, `nothing is reserved on ${disk.row.name}: who has no key can write`)
      else one.step = 'reservation'
      return
    }
    if (request.do === 'reserve') {
      if (answer.status === 'refused') return end(1, answer.detail)
      one.step = 'look'
      return
    }
    if (request.do === 'keys') {
      if (answer.status === 'attention') return
      if (answer.status !== 'good') return end(1, answer.detail)
      return this.judgeKeys(disk, one, end)
    }
    // Whatever came of it, the keys are read before anything is repeated.
    const isPreempt = request.do === 'preempt' || request.do === 'preempt-abort'
    if (isPreempt && answer.status !== 'refused') disk.keys = disk.keys.filter((key) => key !== request.victim)
  }

  private judgeKeys(disk: Watched, one: Call, end: (code: number, detail: string) => void): void {
    const { call, victims } = one
    const name = disk.row.name
    const stands = victims.filter((key) => disk.keys.includes(key))
    if (call.target === undefined)
      return disk.mine === true ? end(0, 'its key stands there') : end(1, `this node’s own key does not stand on ${name}: ${disk.detail}`)
    if (stands.length === 0) return end(call.action === 'off' ? 0 : 2, `its key is not on ${name}, and who has none is kept out`)
    if (call.action === 'status') return end(0, `its key stands on ${name}`)
    if (disk.mine !== true) return end(1, `this node’s own key does not stand on ${name}`)
  }
}

function fresh(row: DiskRow, now: Instant): Watched {
  return {
    row,
    pending: undefined,
    session: '',
    mine: undefined,
    keys: [],
    reservation: undefined,
    due: now,
    readsReservation: false,
    pausedUntil: now,
    detail: '',
    lostSince: undefined,
    abortless: false,
    calls: [],
  }
}

function ended(view: DiskView, { callId }: DeviceCall, code: number | undefined, detail: string): DiskEffect {
  return { kind: 'called', outcome: { callId, code, detail: detail.slice(0, 300), at: view.reading } }
}

function isChallengedBy(row: CaseRow, arbiter: NodeId): boolean {
  return row.stage === 'CHALLENGE' && row.arbiter === arbiter && !row.trigger.startsWith('asked by')
}

/** Of this boot, and of every earlier one that the log knows. */
function keysOf({ state }: DiskView, node: NodeId, boot: BootId): readonly DiskKey[] {
  const { clusterName } = metaOf(state)
  return state.derived('boots', `disk keys of ${node} ${boot} in ${clusterName}`, () => {
    const known = bootsOf(state, node)
    const until = known.find((row) => row.boot === boot)?.registeredIndex ?? (Number.POSITIVE_INFINITY as LogIndex)
    const boots = new Set([...known.flatMap((row) => (row.registeredIndex > until ? [] : [row.boot])), boot])
    return [...boots].map((one) => diskKey(clusterName, node, one))
  })
}

function placeOf({ iscsi, device }: DiskRow['definition']): DiskPlace {
  return iscsi === undefined ? { kind: 'device', path: device ?? '' } : { kind: 'iscsi', ...iscsi }
}

function intervalOf(view: DiskView, { definition }: DiskRow): number {
  return definition.use === 'storage' ? storageInterval : Math.max(challengeIntervalMin, view.challengeTime / challengeShare)
}
