/** The monitor process of a simulated machine: the real decisions of `core/monitor`, performed on simulated services. */
import { bootInstant, type GroupName } from '../../src/base/index.js'
import { MonitorCore, type MonitorEffect, type MonitorEvent, type MonitorOrder, type MonitorReport } from '../../src/core/monitor/index.js'
import type { DeviceAction } from './device.js'
import type { Machine } from './machine.js'
import { Process } from './process.js'
import type { Timer } from './scheduler.js'
import { type Method, SimAgents } from './services.js'

type CallOrder = Extract<MonitorOrder, { kind: 'call' }>
type Outcome = Extract<MonitorEvent, { kind: 'called' }>['outcome']

/** Between the spawn and the first thing it does. */
const upMin = 30
const upMax = 150
const wakeMin = 5
const wakeMax = 60_000

export class SimMonitor {
  readonly process: Process
  readonly machine: Machine
  listening = false
  private core: MonitorCore | undefined
  private readonly agents: SimAgents
  private readonly methods = new Map<number, Method>()
  private readonly calls = new Map<string, Call>()
  private daemon: { report(report: MonitorReport, from?: GroupName): void } | undefined
  private readonly inbox: MonitorEvent[] = []
  private busy = false
  private wake: Timer | undefined

  /** The one group that it keeps; the others' monitor without it. */
  readonly only: GroupName | undefined

  constructor(machine: Machine, only?: GroupName) {
    this.machine = machine
    this.only = only
    this.process = new Process(machine, only === undefined ? 'monitor' : `monitor@${only}`)
    this.agents = new SimAgents(this.process, {
      onLearnt: (group, resource, processes) => this.post({ kind: 'learnt', group, resource, processes }),
      onEnded: (group, resource, process, detail) => this.post({ kind: 'ended', group, resource, process, detail }),
      onEmptied: (group, resource) => this.post({ kind: 'emptied', group, resource }),
    })
    this.process.onEnd(() => {
      // What is written to a held call comes from here: without it the program reads nothing and ends.
      for (const call of this.calls.values()) call.ownerEnded()
    })
    this.process.after(upMin + machine.random.next() * (upMax - upMin), () => this.start())
  }

  /** The daemon has connected: the newest one is it. */
  connect(daemon: { report(report: MonitorReport, from?: GroupName): void }): void {
    this.daemon = daemon
    this.post({ kind: 'connected' })
  }

  disconnect(daemon: unknown): void {
    if (this.daemon === daemon) this.daemon = undefined
  }

  order(order: MonitorOrder, from: unknown): void {
    if (from === this.daemon) this.post({ kind: 'ordered', order })
  }

  private start(): void {
    const { machine } = this
    const { runFolder } = machine
    if (runFolder.emergency?.phase === 'stopping') {
      this.process.end('killed')
      return
    }
    const all = [...runFolder.records.values()]
    const isMine = (record: (typeof all)[number]) => (record.dedicated === true ? record.group === this.only : this.only === undefined)
    const apart = new Set<string>([...all.filter((record) => !isMine(record)).map(({ group }) => group), ...runFolder.monitors])
    machine.killActions((group) => (this.only === undefined ? group === undefined || !apart.has(group) : group === this.only))
    this.core = new MonitorCore({
      ...(this.only === undefined ? {} : { only: this.only }),
      node: machine.name,
      boot: machine.bootId,
      containment: { kind: machine.world.options.containment, root: '/cells' },
      jitterSeed: this.process.pid,
    })
    machine.log(`${this.process.role} up, ${all.filter(isMine).length} run records`)
    this.inbox.unshift({
      kind: 'resumed',
      records: all.filter(isMine),
      others: new Map(all.filter((record) => !isMine(record)).map(({ group, token }) => [group, token])),
      unreadable: [],
      seals: new Map(runFolder.seals),
      deadline: runFolder.deadline,
    })
    this.listening = true
    this.process.every(1_000, () => this.daemon?.report({ kind: 'beat', lagMs: 0 }, this.only))
    this.drain()
  }

  private post(event: MonitorEvent): void {
    this.inbox.push(event)
    this.drain()
  }

  private drain(): void {
    if (this.core === undefined || this.busy || !this.process.alive) return
    this.busy = true
    for (let event = this.inbox.shift(); event !== undefined; event = this.inbox.shift()) {
      for (const effect of this.core.step(event, this.machine.clock.boot())) this.perform(effect)
    }
    this.busy = false
    if (this.wake !== undefined) this.wake.cancelled = true
    const next = this.core.nextWake()
    if (next === undefined) return
    const span = Math.min(wakeMax, Math.max(wakeMin, next - this.machine.clock.boot()))
    this.wake = this.process.after(span, () => this.post({ kind: 'woke' }))
  }

  private perform(effect: MonitorEffect): void {
    const { runFolder } = this.machine
    switch (effect.kind) {
      case 'write-record':
        return runFolder.writeRecord(structuredClone(effect.record))
      case 'seal':
        return runFolder.seal(effect.group, effect.token)
      case 'delete-record':
        return runFolder.deleteRecord(effect.group, effect.token)
      case 'write-checkpoints':
      case 'forget-scores':
        return
      case 'begin': {
        const { action, request } = effect
        const method = this.agents.begin(
          request,
          this.core?.deadline ?? bootInstant(0),
          (process) => this.post({ kind: 'spawned', action, process }),
          (result) => {
            this.methods.delete(action)
            this.post({ kind: 'method-done', action, result })
          },
        )
        this.methods.set(action, method)
        return
      }
      case 'cancel':
        return this.methods.get(effect.action)?.cancel()
      case 'kill':
        return this.agents.kill(effect, (empty) => this.post({ kind: 'killed', action: effect.action, empty }))
      case 'watch':
        return this.agents.watch(effect.group, effect.resource, effect.processes, effect.learn)
      case 'unwatch':
        return this.agents.unwatch(effect.group, effect.resource)
      case 'call': {
        const { callId } = effect.call
        const call = new Call(this.machine, effect.call, (outcome) => {
          this.calls.delete(callId)
          this.process.post(() => this.post({ kind: 'called', callId, outcome }))
        })
        this.calls.set(callId, call)
        return
      }
      case 'call-release':
        return this.calls.get(effect.callId)?.release()
      case 'call-cancel':
        return this.calls.get(effect.callId)?.kill()
      case 'report':
        return this.daemon?.report(effect.report, this.only)
      case 'log':
        return this.machine.log(`monitor: ${effect.text}`)
    }
  }
}

/** One run of a fence agent. Once it has told the device, the device acts whatever becomes of the program. */
class Call {
  private readonly machine: Machine
  private readonly order: CallOrder
  private readonly done: (outcome: Outcome) => void
  private over = false
  private released: boolean

  constructor(machine: Machine, order: CallOrder, done: (outcome: Outcome) => void) {
    this.machine = machine
    this.order = order
    this.done = done
    this.released = false
    machine.calls.add(this)
    if (!order.hold) this.release()
  }

  release(): void {
    if (this.over || this.released) return
    this.released = true
    const parameters = new Map(this.order.input.split('\n').map((line) => line.split('=') as [string, string]))
    const device = this.machine.world.machine(parameters.get('plug') ?? '')?.device
    const action = parameters.get('action') as DeviceAction
    this.machine.after(this.order.timeout / this.machine.clock.rate, () => this.end({ outcome: 'timed-out' }))
    this.machine.after(2, () => {
      if (this.over || device === undefined) return this.end({ outcome: 'exited', code: 1 })
      this.machine.log(`calls the device of ${device.machine.name}: ${action}`)
      this.machine.world.calledDevice(this.machine, device.machine, action)
      device.call(action, (code) => this.end({ outcome: 'exited', code }))
    })
  }

  ownerEnded(): void {
    if (!this.released) this.end({ outcome: 'cancelled' })
  }

  kill(): void {
    this.end({ outcome: 'cancelled' })
  }

  private end(how: Pick<Outcome, 'outcome' | 'code'>): void {
    if (this.over) return
    this.over = true
    this.machine.calls.delete(this)
    this.done({ ...how, stdout: '', stderr: '', elapsedMs: 0 })
  }
}
