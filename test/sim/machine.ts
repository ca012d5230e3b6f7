/** One machine: its power, its clock, its disk, and the processes that run on it from one boot to the next. */
import {
  type BootId,
  type BootInstant,
  bootInstant,
  type GroupName,
  type Instant,
  instant,
  type NodeId,
  type ResourceName,
  type WallTime,
  wallTime,
} from '../../src/base/index.js'
import type { Clock } from '../../src/io/clock/index.js'
import { SimDaemon } from './daemon.js'
import type { Device } from './device.js'
import { Disk } from './disk.js'
import { SimGuardian } from './guardian.js'
import { SimMonitor } from './monitor.js'
import type { HowEnded, Process } from './process.js'
import type { Random } from './random.js'
import { SimRunFolder } from './run-folder.js'
import type { Scheduler, Timer } from './scheduler.js'
import { type Behaviour, Cell, healthy } from './services.js'
import type { World } from './world.js'

/** Counts from the boot on, at its own rate; the boot clock in steps of 10 ms, as the kernel shows it. */
export class SimClock implements Clock {
  readonly rate: number
  bootedAt = 0
  /** Milliseconds that somebody has moved the wall clock. */
  wallOffset = 0
  private readonly scheduler: Scheduler

  constructor(scheduler: Scheduler, rate: number) {
    this.scheduler = scheduler
    this.rate = rate
  }

  now(): Instant {
    return instant((this.scheduler.now - this.bootedAt) * this.rate)
  }

  boot(): BootInstant {
    return bootInstant(Math.floor(((this.scheduler.now - this.bootedAt) * this.rate) / 10) * 10)
  }

  wall(): WallTime {
    return wallTime(Math.round(1_700_000_000_000 + this.scheduler.now + this.wallOffset))
  }

  /** When, in true time, this clock will show `reading`. */
  trueTime(reading: number): number {
    return this.bootedAt + reading / this.rate
  }
}

export class Machine {
  readonly name: NodeId
  readonly world: World
  readonly random: Random
  readonly scheduler: Scheduler
  readonly clock: SimClock
  disk: Disk
  runFolder: SimRunFolder
  powered = false
  boots = 0
  /** The word with which a person lets it join. */
  invitation: string | undefined
  guardian: SimGuardian | undefined
  daemon: SimDaemon | undefined
  monitor: SimMonitor | undefined
  /** Those that groups have of their own. */
  readonly ownMonitors = new Map<GroupName, SimMonitor>()
  readonly behaviours = new Map<GroupName, Behaviour>()
  device!: Device
  /** Since when, in true time, a guardian looks without interruption; infinity while none does. */
  guardianSince = Number.POSITIVE_INFINITY
  daemonSince = Number.POSITIVE_INFINITY
  /** Calls to fence devices that monitors of this machine have under way. */
  readonly calls = new Set<{ kill(): void }>()
  private readonly cells = new Map<string, Cell>()
  private watchdog: Timer | undefined
  private bootTimer: Timer | undefined

  constructor(world: World, name: NodeId, rate: number) {
    this.world = world
    this.name = name
    this.random = world.random.fork()
    this.scheduler = world.scheduler
    this.clock = new SimClock(this.scheduler, rate)
    this.disk = new Disk(this.random.fork(), world.options.syncMax)
    this.runFolder = new SimRunFolder(this.bootId)
  }

  get bootId(): BootId {
    return `${this.name}-b${this.boots}` as BootId
  }

  log(text: string): void {
    this.world.trace.add(this.name, text)
  }

  /** True time; nothing comes of it once the power has gone. */
  after(span: number, run: () => void): Timer {
    const { boots } = this
    return this.scheduler.after(span, () => {
      if (this.powered && this.boots === boots) run()
    })
  }

  // Power.

  powerOn(): void {
    if (this.powered || this.bootTimer !== undefined) return
    const takes = this.world.options.bootMin + this.random.next() * (this.world.options.bootMax - this.world.options.bootMin)
    this.log(`power on; boots in ${Math.round(takes)} ms`)
    this.powered = true
    this.boots++
    this.bootTimer = this.after(takes, () => this.bootUp())
  }

  private bootUp(): void {
    this.bootTimer = undefined
    this.clock.bootedAt = this.scheduler.now - this.random.next() * 20_000 // The kernel is older than our service.
    this.runFolder = new SimRunFolder(this.bootId)
    this.log(`boot ${this.bootId}`)
    if (this.world.options.services) this.startGuardian()
    else this.startDaemon()
  }

  /** Everything on it ends in this instant, and of its disk what was not synced is lost. */
  powerOff(why: string): void {
    if (!this.powered) return
    this.powered = false
    if (this.bootTimer !== undefined) this.bootTimer.cancelled = true
    this.bootTimer = undefined
    this.log(`power off: ${why}`)
    this.feedWatchdog(undefined)
    const own = [...this.ownMonitors.values()].map((monitor) => monitor.process)
    for (const process of [this.daemon?.process, this.monitor?.process, ...own, this.guardian?.process]) process?.end('lost power')
    this.ownMonitors.clear()
    for (const cell of this.cells.values()) {
      cell.programs.clear()
      cell.serviceDown('the power is off')
    }
    this.cells.clear()
    this.calls.clear()
    this.disk.lostUnsynced()
    this.daemon = undefined
    this.monitor = undefined
    this.guardian = undefined
  }

  /** Its disk is lost with everything on it; the machine comes back with an empty one. */
  loseDisk(): void {
    this.powerOff('its disk is lost')
    this.disk = new Disk(this.random.fork(), this.world.options.syncMax)
    this.world.wiped = this
  }

  /** What a person does whose node says STORE_CORRUPT, or that it belongs no more: moves its data folder away. */
  moveFolderAway(why: string): void {
    this.log(`its data folder is moved away: ${why}`)
    this.kill(this.daemon?.process)
    this.disk = new Disk(this.random.fork(), this.world.options.syncMax)
  }

  reset(why: string): void {
    this.powerOff(why)
    this.powerOn()
  }

  /** The hardware resets the machine unless it is fed again within `timeout`; undefined disarms it. */
  feedWatchdog(timeout: number | undefined): void {
    if (this.watchdog !== undefined) this.watchdog.cancelled = true
    this.watchdog = timeout === undefined ? undefined : this.after(timeout / this.clock.rate, () => this.reset('its watchdog was not fed'))
  }

  // Processes.

  get processes(): readonly Process[] {
    return [this.guardian, this.daemon, this.monitor, ...this.ownMonitors.values()].flatMap((one) =>
      one?.process.alive === true ? [one.process] : [],
    )
  }

  /** The guardian has ended as it was told to: nobody starts it but a person. */
  hasLeft = false

  startGuardian(): void {
    this.hasLeft = false
    if (this.guardian?.process.alive === true) return
    this.guardian = new SimGuardian(this)
    this.guardianSince = Number.POSITIVE_INFINITY
    this.guardian.process.onEnd(() => this.guardianEnded())
  }

  /** As systemd does it, if the daemon is not faster. */
  private guardianEnded(): void {
    this.guardianSince = Number.POSITIVE_INFINITY
    // Linux takes an unclean close for one more byte.
    if (this.watchdog !== undefined) this.feedWatchdog(this.world.options.watchdogTimeout)
    if (this.hasLeft) {
      const again = () => this.hasLeft && this.startGuardian()
      if (this.world.options.startedAgain) this.after(1_000 + this.random.next() * 15_000, again)
      return
    }
    this.after(1_000 + this.random.next() * 1_000, () => this.startGuardian())
  }

  startDaemon(): Process {
    this.daemon = new SimDaemon(this)
    const { process } = this.daemon
    // Where no guardian does it.
    if (!this.world.options.services)
      process.onEnd((how) => {
        if (how === 'killed') this.after(this.random.next() * this.random.next() * 300, () => this.startDaemon())
      })
    return process
  }

  startMonitor(): Process {
    this.monitor = new SimMonitor(this)
    return this.monitor.process
  }

  /** For how long daemon and guardian have both been there, in milliseconds; 0 where one of them is not. */
  get attendedFor(): number {
    if (!this.powered || this.daemon?.process.alive !== true || this.guardian?.process.alive !== true) return 0
    return Math.max(0, this.scheduler.now - Math.max(this.daemonSince, this.guardianSince))
  }

  startOwnMonitor(group: GroupName): Process {
    const monitor = new SimMonitor(this, group)
    this.ownMonitors.set(group, monitor)
    return monitor.process
  }

  kill(process: Process | undefined, how: HowEnded = 'killed'): void {
    if (process?.alive !== true) return
    this.log(`${process.role} is killed`)
    process.end(how)
  }

  // Services.

  /** Of what migrates there is one on a machine, whichever instance is asked for. */
  cell(asked: GroupName, resource: ResourceName): Cell {
    const of = this.world.migrating(asked)
    const group = of === undefined ? asked : (`${of}:${this.name}` as GroupName)
    const key = `${group}/${resource}`
    let cell = this.cells.get(key)
    if (cell === undefined) {
      cell = new Cell(this, group, resource)
      this.cells.set(key, cell)
    }
    return cell
  }

  allCells(): readonly Cell[] {
    return [...this.cells.values()]
  }

  behaviour(group: GroupName): Behaviour {
    let behaviour = this.behaviours.get(group)
    if (behaviour === undefined) {
      behaviour = { ...healthy }
      this.behaviours.set(group, behaviour)
    }
    return behaviour
  }

  /** Probes, stops and calls in flight; no service and no start. */
  killActions(of: (group: string | undefined) => boolean = () => true): void {
    for (const cell of this.cells.values()) if (of(cell.group)) cell.kill('action')
    if (of(undefined)) for (const call of [...this.calls]) call.kill()
  }
}
