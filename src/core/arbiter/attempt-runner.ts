/**
 * The arbiter's part: carries out the attempts that the log gives to this node.
 *
 * A device is called only under a lease whose renewal was asked for after the attempt was applied here, with the attempt
 * still open (P6). The programs are started early and their input withheld: writing it is the call. Off is believed when
 * it was read twice (an agent that confirms off itself counts as one reading). An outcome that is not known is read back,
 * never repeated. Which devices that are is pinned in the attempt: what the node's row says meanwhile is for the next one.
 */
import { type BootId, type BootInstant, type CaseId, invariant, type LogIndex, type NodeId } from '../../base/index.js'
import { type Attempt, type CaseRow, type Command, type FenceDevice, type NodeRow, storageAgent } from '../cluster/index.js'

export interface DeviceCall {
  readonly callId: string
  readonly agent: string
  readonly parameters: { readonly [name: string]: string }
  readonly action: 'off' | 'on' | 'status'
  readonly hold: boolean
  readonly timeout: number
  /** Whose key it is about, where the device is a shared disk; left out where only the way to the disk is tried. */
  readonly target?: Target
}

export interface Target {
  readonly node: NodeId
  readonly boot: BootId
}

export type AttemptEffect =
  | { readonly kind: 'call'; readonly call: DeviceCall }
  | { readonly kind: 'release'; readonly callId: string }
  | { readonly kind: 'cancel'; readonly callId: string }
  /** Ask for the renewal at once. */
  | { readonly kind: 'heartbeat-now' }
  | { readonly kind: 'propose'; readonly key: string; readonly command: Command }

export interface CallOutcome {
  readonly callId: string
  /** Fence agents: for `status` 0 is on and 2 is off; otherwise 0 is done. Undefined: killed, timed out, not started. */
  readonly code: number | undefined
  readonly detail: string
  readonly at: BootInstant
}

/** What the runner sees at each step. */
export interface AttemptView {
  readonly self: NodeId
  readonly boot: BootInstant
  /** Send time of the heartbeat whose renewal came last; undefined before the first. */
  readonly askedAt: BootInstant | undefined
  readonly mayAct: boolean
  readonly cases: readonly CaseRow[]
  /** As far as this node can tell, the voters left without it are a quorum now; what was judged when the attempt was committed may be past. */
  readonly mayLose: (name: NodeId) => boolean
  readonly node: (name: NodeId) => NodeRow | undefined
}

interface Run {
  readonly id: string
  readonly caseId: CaseId
  readonly target: Target
  readonly number: number
  readonly action: Attempt['action']
  readonly devices: readonly FenceDevice[]
  /** When this node first saw the attempt in the log. */
  readonly seenAt: BootInstant
  /** The clock has a grain: only a heartbeat of a later reading is surely sent after the attempt was seen. */
  askedLater: boolean
  readonly startedAfterRestart: boolean
  phase: 'waiting' | 'calling' | 'reading' | 'done'
  /** Readings of off so far, by device. */
  readonly offReadings: number[]
  readonly statusCalls: number[]
  pending: Set<string>
  result: { readonly confirmed: boolean; readonly detail: string } | undefined
  readonly notes: string[]
}

export class AttemptRunner {
  private readonly runs = new Map<string, Run>()
  /** Calls started ahead and held, by call id. */
  private readonly prepared = new Set<string>()
  /** Open attempts found before this node has caught up may belong to an earlier life of this daemon: their outcome is not known. */
  private first = true
  /** Outcomes of held calls that ended before they were released: an agent that is missing, or that fails on its own. */
  private readonly early = new Map<string, CallOutcome>()

  /** Looks at what the log says now. */
  step(view: AttemptView): readonly AttemptEffect[] {
    const effects: AttemptEffect[] = []
    const wanted = new Set<string>()
    for (const row of view.cases) {
      if (row.stage === 'CHALLENGE' && row.arbiter === view.self) this.prepareAhead(view, row, wanted, effects)
      const open = row.attempts.find((attempt) => attempt.state === 'open' && attempt.arbiter === view.self)
      if (open === undefined) continue
      const id = runId(row.id, open.number, open.devicesRevision)
      wanted.add(id)
      const run = this.runs.get(id) ?? this.begin(view, id, row, open, effects)
      this.advance(view, run, effects)
    }
    if (view.mayAct) this.first = false
    this.forget(wanted, effects)
    return effects
  }

  private prepareAhead(view: AttemptView, row: CaseRow, wanted: Set<string>, effects: AttemptEffect[]): void {
    const node = view.node(row.node)
    if (node === undefined) return
    const id = runId(row.id, 1, node.revision)
    wanted.add(id)
    this.prepare(id, row, node.fencing.levels[0] ?? [], 'off', effects)
  }

  private begin(view: AttemptView, id: string, row: CaseRow, open: Attempt, effects: AttemptEffect[]): Run {
    const { devices } = open
    const run: Run = {
      id,
      caseId: row.id,
      target: { node: row.node, boot: open.boot },
      number: open.number,
      action: open.action,
      devices,
      seenAt: view.boot,
      askedLater: false,
      startedAfterRestart: this.first,
      phase: 'waiting',
      offReadings: devices.map(() => 0),
      // The first may have been held by an earlier life of this daemon.
      statusCalls: devices.map(() => (this.first ? 1 : 0)),
      pending: new Set(),
      result: undefined,
      notes: [],
    }
    this.runs.set(id, run)
    effects.push({ kind: 'heartbeat-now' })
    if (devices.length === 0) finish(run, false, 'the node has no such fence device')
    else if (run.startedAfterRestart)
      for (const [at] of devices.entries())
        for (const held of [`${open.action}/${at}`, firstReading(at)]) effects.push({ kind: 'cancel', callId: `${id}/${held}` })
    else if (open.action !== 'status') this.prepare(id, run.target, devices, open.action, effects)
    return run
  }

  /** Starts the programs of the call, and of the reading that follows a power-off, and holds their input. */
  private prepare(id: string, target: Target, devices: readonly FenceDevice[], action: 'off' | 'on', effects: AttemptEffect[]): void {
    for (const [at, device] of devices.entries()) {
      this.hold(`${id}/${action}/${at}`, target, device, action, effects)
      if (action === 'off') this.hold(`${id}/${firstReading(at)}`, target, device, 'status', effects)
    }
  }

  private hold(callId: string, target: Target, device: FenceDevice, action: DeviceCall['action'], effects: AttemptEffect[]): void {
    // An agent that is told nothing would take the end of a lost monitor's input for its order.
    if (Object.keys(device.parameters).length === 0) return
    if (this.prepared.has(callId) || this.early.has(callId)) return
    this.prepared.add(callId)
    effects.push({ kind: 'call', call: deviceCall(callId, target, device, action, true) })
  }

  private advance(view: AttemptView, run: Run, effects: AttemptEffect[]): void {
    const askedSince = view.askedAt !== undefined && view.askedAt > run.seenAt
    if (run.phase === 'waiting' && !askedSince && !run.askedLater && view.boot > run.seenAt) {
      run.askedLater = true
      effects.push({ kind: 'heartbeat-now' })
    }
    if (run.phase === 'waiting' && view.mayAct && askedSince && (run.action !== 'off' || view.mayLose(run.target.node))) {
      run.notes.push(`lease renewed${after(run, view.boot)}`)
      if (run.startedAfterRestart || run.action === 'status') this.readAll(run, effects)
      else {
        run.phase = 'calling'
        for (const [at, device] of run.devices.entries()) {
          const callId = `${run.id}/${run.action}/${at}`
          run.pending.add(callId)
          // Released in the same breath, for the monitor looks at the lease when it is released.
          if (!this.prepared.has(callId) && !this.early.has(callId))
            effects.push({ kind: 'call', call: deviceCall(callId, run.target, device, run.action, true) })
          effects.push({ kind: 'release', callId })
        }
        for (const callId of [...run.pending]) {
          const ended = this.early.get(callId)
          if (ended !== undefined) effects.push(...this.called(ended))
        }
      }
    }
    if (run.result !== undefined) {
      const command: Command = { kind: 'attempt-result', caseId: run.caseId, number: run.number, arbiter: view.self, ...run.result }
      effects.push({ kind: 'propose', key: `attempt/${run.id}`, command })
    }
  }

  /** A device call has ended. */
  called(outcome: CallOutcome): readonly AttemptEffect[] {
    const effects: AttemptEffect[] = []
    const awaited = [...this.runs.values()].some((run) => run.pending.has(outcome.callId))
    if (!awaited && this.prepared.has(outcome.callId)) this.early.set(outcome.callId, outcome)
    for (const run of this.runs.values()) {
      if (!run.pending.delete(outcome.callId)) continue
      const [, action, device] = outcome.callId.slice(run.id.length).split('/')
      this.take(run, action ?? '', Number(device), outcome)
      if (run.pending.size === 0 && run.result === undefined) this.next(run, effects)
    }
    this.prepared.delete(outcome.callId)
    return effects
  }

  /**
   * A monitor said hello: whatever the one before it ran for this node has ended with it, and what it had told a device is
   * not known.
   */
  monitorCame(): readonly AttemptEffect[] {
    const effects: AttemptEffect[] = []
    this.prepared.clear()
    this.early.clear()
    for (const run of this.runs.values()) {
      if (run.phase === 'waiting' && !run.startedAfterRestart && run.action !== 'status')
        this.prepare(run.id, run.target, run.devices, run.action, effects)
      if (run.pending.size === 0) continue
      for (const callId of run.pending) effects.push({ kind: 'cancel', callId })
      run.pending.clear()
      run.notes.push('the monitor was lost during the call')
      this.leaveHeld(run, effects)
      this.readAll(run, effects)
    }
    return effects
  }

  /**
   * A monitor that says hello late may be the one that was given the orders: what it holds for this attempt would stand in the
   * way of a call by the same name, and wait to be released for ever.
   */
  private leaveHeld(run: Run, effects: AttemptEffect[]): void {
    if (run.action !== 'off') return
    for (const [at, calls] of run.statusCalls.entries()) {
      if (calls > 0) continue
      run.statusCalls[at] = 1
      effects.push({ kind: 'cancel', callId: `${run.id}/${firstReading(at)}` })
    }
  }

  private take(run: Run, action: string, device: number, outcome: CallOutcome): void {
    invariant(device < run.devices.length, 'an answer is of a device of the attempt', { callId: outcome.callId })
    const agent = run.devices[device]?.agent ?? ''
    const off = action === 'off' ? outcome.code === 0 : outcome.code === 2
    const called = outcome.code === 0 ? 'confirmed' : outcome.detail
    const read = off ? 'off' : outcome.code === 0 ? 'on' : `unclear (${outcome.detail})`
    run.notes.push(`${agent} ${action}: ${action === 'status' ? read : called}${after(run, outcome.at)}`)
    if (run.action === 'on') finish(run, outcome.code === 0, run.notes.join('; '))
    else if (off) run.offReadings[device] = (run.offReadings[device] ?? 0) + 1
    else if (action === 'status') finish(run, false, run.notes.join('; '))
  }

  /** Each device is read until two readings say off, or one says otherwise. */
  private next(run: Run, effects: AttemptEffect[]): void {
    if (run.offReadings.every((readings) => readings >= 2)) return finish(run, true, run.notes.join('; '))
    this.readAll(run, effects)
  }

  private readAll(run: Run, effects: AttemptEffect[]): void {
    run.phase = 'reading'
    for (const [at, device] of run.devices.entries()) {
      if ((run.offReadings[at] ?? 0) >= 2) continue
      let nth = (run.statusCalls[at] ?? 0) + 1
      // A program that ended while it was held has read nothing.
      if (this.early.has(`${run.id}/status/${at}/${nth}`)) nth++
      run.statusCalls[at] = nth
      const callId = `${run.id}/status/${at}/${nth}`
      run.pending.add(callId)
      if (this.prepared.has(callId)) effects.push({ kind: 'release', callId })
      else effects.push({ kind: 'call', call: deviceCall(callId, run.target, device, 'status', false) })
    }
  }

  /** What is no longer open in the log is not carried out. */
  private forget(wanted: ReadonlySet<string>, effects: AttemptEffect[]): void {
    for (const [id, run] of this.runs) {
      if (wanted.has(id)) continue
      for (const callId of run.pending) effects.push({ kind: 'cancel', callId })
      this.runs.delete(id)
    }
    for (const callId of this.prepared) {
      if ([...wanted].some((id) => callId.startsWith(`${id}/`))) continue
      this.prepared.delete(callId)
      effects.push({ kind: 'cancel', callId })
    }
    for (const callId of this.early.keys()) if (![...wanted].some((id) => callId.startsWith(`${id}/`))) this.early.delete(callId)
  }
}

/** When in the course of the attempt, as its record shows it. */
const after = (run: Run, at: BootInstant): string => ` (+${at - run.seenAt} ms)`

function finish(run: Run, confirmed: boolean, detail: string): void {
  run.phase = 'done'
  run.result = { confirmed, detail: detail.slice(0, 1_000) }
}

function deviceCall(
  callId: string,
  { node, boot }: Target,
  { agent, parameters, timeout }: FenceDevice,
  action: DeviceCall['action'],
  hold: boolean,
): DeviceCall {
  const target = agent === storageAgent ? { target: { node, boot } } : {}
  return { callId, agent, parameters, action, hold, timeout, ...target }
}

const firstReading = (device: number): string => `status/${device}/1`

/** Devices of another revision are other calls: what was prepared for them is never released. */
const runId = (caseId: CaseId, number: number, devices: LogIndex): string => `${caseId}#${number}@${devices}`
