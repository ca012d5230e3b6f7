/** The guardian process of a simulated machine: the real decisions of `core/guardian`, and the watchdog that they feed. */
import { bootInstant, type GroupName, type Token } from '../../src/base/index.js'
import {
  type GuardianAnswer,
  GuardianCore,
  type GuardianEffect,
  type GuardianEvent,
  type GuardianOrder,
  type GuardianQuery,
  type GuardianState,
  type KeptRole,
} from '../../src/core/guardian/index.js'
import { isCalm } from '../../src/core/monitor/index.js'
import type { Machine } from './machine.js'
import { Process } from './process.js'
import { type Method, SimAgents } from './services.js'

const lookEvery = 25
const upMin = 20
const upMax = 80

export class SimGuardian {
  readonly process: Process
  readonly machine: Machine
  listening = false
  private isFed = false
  private readonly core: GuardianCore
  private readonly agents: SimAgents
  private readonly methods = new Map<number, Method>()
  private readonly daemons = new Set<{ guardianSays(state: GuardianState): void }>()
  private readonly inbox: GuardianEvent[] = []
  private busy = false

  constructor(machine: Machine) {
    this.machine = machine
    this.process = new Process(machine, 'guardian')
    const { emergencyStop, watchdogTimeout } = machine.world.options
    this.core = new GuardianCore({ node: machine.name, boot: machine.bootId, emergencyStop, leaveTimeout: 10_000, watchdogTimeout })
    this.agents = new SimAgents(this.process, { onLearnt: () => undefined, onEnded: () => undefined, onEmptied: () => undefined })
    this.process.after(upMin + machine.random.next() * (upMax - upMin), () => this.start())
  }

  connect(daemon: { guardianSays(state: GuardianState): void }): void {
    this.daemons.add(daemon)
    this.post({ kind: 'daemon-connected' })
  }

  disconnect(daemon: { guardianSays(state: GuardianState): void }): void {
    this.daemons.delete(daemon)
  }

  order(order: GuardianOrder): void {
    this.post({ kind: 'ordered', order })
  }

  /** A query of another node, from its port. */
  queried(query: GuardianQuery, answer: (answer: GuardianAnswer) => void): void {
    if (!this.listening) return
    this.post(this.look())
    this.post({ kind: 'queried', query, from: answer })
  }

  private start(): void {
    const { machine } = this
    const own = machine.runFolder.monitors.map((group) => `monitor@${group}` as const)
    const running = (['daemon', 'monitor', ...own] as const).filter((role) => this.adopt(role))
    machine.log(`guardian up, adopted ${running.join(' and ') || 'nobody'}`)
    this.listening = true
    machine.guardianSince = machine.scheduler.now
    const { emergency, detachment } = machine.runFolder
    this.post({ kind: 'resumed', running, emergency, ...(detachment === undefined ? {} : { detachment }) })
    this.post(this.look())
    this.process.every(lookEvery, () => this.post(this.look()))
  }

  private look(): GuardianEvent {
    const { runFolder } = this.machine
    const { deadline, monitors } = runFolder
    const policies = new Map(
      [...runFolder.records.values()].flatMap((record) =>
        record.onQuorumLoss === undefined ? [] : [[record.group, record.onQuorumLoss] as const],
      ),
    )
    return { kind: 'looked', deadline, monitors, open: runFolder.openTokens(), seals: new Map(runFolder.seals), policies }
  }

  /** Takes over a process that lives; its end is noticed by a sweep. */
  private adopt(role: KeptRole): boolean {
    const process = this.processOf(role)
    if (process?.alive !== true) return false
    this.watch(role, process, 25)
    return true
  }

  private processOf(role: KeptRole): Process | undefined {
    if (role === 'daemon' || role === 'monitor') return this.machine[role]?.process
    return this.machine.ownMonitors.get(role.slice('monitor@'.length) as GroupName)?.process
  }

  private startRole(role: KeptRole): Process {
    if (role === 'daemon') return this.machine.startDaemon()
    return role === 'monitor' ? this.machine.startMonitor() : this.machine.startOwnMonitor(role.slice('monitor@'.length) as GroupName)
  }

  private watch(role: KeptRole, process: Process, delay: number): void {
    process.onEnd(() => this.process.afterTrue(1 + this.machine.random.next() * delay, () => this.post({ kind: 'process-ended', role })))
  }

  private post(event: GuardianEvent): void {
    this.inbox.push(event)
    if (this.busy || !this.process.alive) return
    this.busy = true
    for (let next = this.inbox.shift(); next !== undefined; next = this.inbox.shift()) {
      for (const effect of this.core.step(next, this.machine.clock.boot())) this.perform(effect)
    }
    this.busy = false
  }

  private freeze(group: GroupName, token: Token): void {
    const { machine } = this
    machine.after(1 + machine.random.next() * 10, () => {
      const record = machine.runFolder.records.get(`${group}@${token}`)
      const canFreeze = record !== undefined && isCalm(record) && record.containment.kind !== 'sweep'
      if (canFreeze) for (const cell of this.cellsOf(group)) cell.freeze()
      this.process.post(() => this.post({ kind: 'frozen', group, token, done: canFreeze, detail: 'something of it is not at rest' }))
    })
  }

  private thaw(group: GroupName, token: Token): void {
    const { machine } = this
    machine.after(1 + machine.random.next() * 10, () => {
      for (const cell of this.cellsOf(group)) cell.thaw()
      this.process.post(() => this.post({ kind: 'thawed', group, token, done: true }))
    })
  }

  private cellsOf(group: GroupName) {
    return this.machine.allCells().filter((cell) => cell.group === group)
  }

  private perform(effect: GuardianEffect): void {
    const { machine } = this
    const { runFolder } = machine
    switch (effect.kind) {
      case 'spawn': {
        if (this.adopt(effect.role)) return this.post({ kind: 'process-up', role: effect.role })
        const process = this.startRole(effect.role)
        machine.log(`guardian starts the ${effect.role}`)
        this.watch(effect.role, process, 1)
        return this.post({ kind: 'process-up', role: effect.role })
      }
      case 'signal':
        return machine.kill(this.processOf(effect.role))
      case 'seal':
        return runFolder.seal(effect.group, effect.token)
      case 'write-emergency':
        runFolder.emergency = effect.left
        return
      case 'clear-emergency':
        runFolder.emergency = undefined
        return
      case 'write-detachment':
        runFolder.detachment = effect.detachment
        return
      case 'feed-watchdog':
        machine.feedWatchdog(machine.world.options.watchdogTimeout)
        if (!this.isFed) this.post({ kind: 'watchdog', armed: true })
        this.isFed = true
        return
      case 'disarm-watchdog':
        return machine.feedWatchdog(undefined)
      case 'kill-monitors':
        machine.after(1 + machine.random.next() * 20, () => {
          machine.kill(machine.monitor?.process)
          for (const own of machine.ownMonitors.values()) machine.kill(own.process)
          machine.killActions()
          this.process.post(() => this.post({ kind: 'monitors-killed', gone: true }))
        })
        return
      case 'read-records':
        return this.post({ kind: 'records', readable: [...runFolder.records.values()], unreadable: [] })
      case 'write-record':
        return runFolder.writeRecord(structuredClone(effect.record))
      case 'delete-record':
        return runFolder.deleteRecord(effect.group, effect.token)
      case 'begin': {
        const { action } = effect
        const method = this.agents.begin(
          effect.request,
          bootInstant(0),
          () => undefined,
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
      case 'freeze':
        return this.freeze(effect.group, effect.token)
      case 'thaw':
        return this.thaw(effect.group, effect.token)
      case 'answer':
        return (effect.to as (answer: GuardianAnswer) => void)(effect.answer)
      case 'tell-daemon':
        for (const daemon of this.daemons) daemon.guardianSays(effect.state)
        return
      case 'log':
        return machine.log(`guardian: ${effect.text}`)
      case 'exit':
        machine.log('guardian ends')
        machine.hasLeft = true
        return this.process.end('killed')
    }
  }
}
