/**
 * What really runs where: the services of the simulated machines, and the truth that the cluster is judged by.
 *
 * A resource has a cell on a machine. In it are the service itself, if it runs, and the programs (start, stop, probe) at
 * work on it; they survive the process that began them, as real ones do, and end with the power or when the cell is killed.
 */
import { type BootInstant, bootClockGrain, type GroupName, type ResourceName } from '../../src/base/index.js'
import { behaviourOf, type MethodRequest, type MethodResult, type ProcessIdentity } from '../../src/core/monitor/index.js'
import type { Machine } from './machine.js'
import { nextPid, type Process } from './process.js'
import type { Timer } from './scheduler.js'

/** How the services of a group behave here and now; faults change it. */
export interface Behaviour {
  startMs: number
  stopMs: number
  probeMs: number
  startFails: boolean
  /** A stop never ends; killing still works. */
  stopHangs: boolean
  probeFails: boolean
  /** A demotion says that it is done, and nothing has changed. */
  demotesNot: boolean
  /** What is sent is there after so long, whatever becomes of who sends it; as chance has it unless given. */
  sendMs?: number
  /** Not even a kill ends it (uninterruptible sleep): only the power does. */
  unkillable: boolean
}

export const healthy: Behaviour = {
  startMs: 30,
  stopMs: 20,
  probeMs: 3,
  startFails: false,
  stopHangs: false,
  probeFails: false,
  demotesNot: false,
  unkillable: false,
}

interface Program {
  readonly method: MethodRequest['method']
  readonly identity: ProcessIdentity
  end(result: MethodResult): void
  kill(): void
}

/** From the spawn to the moment in which the new process looks at the seal and becomes the program. */
const execMs = 2
/** Between the guardian's decision and the moment in which the processes go on. */
const thawMs = 15
/** A kept process without a port to wait for counts as started once it has lived this long. */
const settleMs = 50

export class Cell {
  readonly machine: Machine
  readonly group: GroupName
  readonly resource: ResourceName
  service: ProcessIdentity | undefined
  /** The group of the primary role that the service has; undefined while it is a replica. */
  private role: GroupName | undefined
  readonly programs = new Set<Program>()
  /** Its service stands still: it has not ended, and does nothing. */
  frozen = false
  private readonly watchers = new Set<(died: ProcessIdentity) => void>()

  constructor(machine: Machine, group: GroupName, resource: ResourceName) {
    this.machine = machine
    this.group = group
    this.resource = resource
  }

  get empty(): boolean {
    return this.service === undefined && this.programs.size === 0
  }

  isAlive(process: ProcessIdentity): boolean {
    return this.service?.pid === process.pid || [...this.programs].some((program) => program.identity.pid === process.pid)
  }

  serviceUp(identity: ProcessIdentity): void {
    if (this.service !== undefined) return
    this.service = identity
    this.machine.world.truth.up(this)
  }

  get isPrimary(): boolean {
    return this.role !== undefined
  }

  promote(role: GroupName): void {
    if (this.service === undefined || this.role !== undefined) return
    this.role = role
    this.machine.world.seen.add('promoted')
    this.machine.world.truth.up({ machine: this.machine, group: role, resource: this.resource })
  }

  demote(how: string): void {
    const { role } = this
    if (role === undefined) return
    this.role = undefined
    this.machine.world.seen.add('demoted')
    this.machine.world.truth.down({ machine: this.machine, group: role, resource: this.resource }, how)
  }

  freeze(): void {
    if (this.service === undefined || this.frozen) return
    this.frozen = true
    this.machine.log(`STANDS STILL ${this.group}/${this.resource}`)
    this.machine.world.seen.add('frozen')
  }

  /** P5: only under a lease, for until then others may have been promised that it does nothing more. */
  thaw(): void {
    if (!this.frozen) return
    this.frozen = false
    if (this.service === undefined) return
    this.machine.log(`GOES ON ${this.group}/${this.resource}`)
    this.machine.world.seen.add('thawed')
    const { clock, runFolder, world } = this.machine
    if (clock.trueTime(runFolder.deadline) + thawMs < world.scheduler.now)
      world.fail(`P5: ${this.group} goes on on ${this.machine.name} without a lease`)
  }

  serviceDown(how: string): void {
    const died = this.service
    if (died === undefined) return
    this.demote(how)
    this.service = undefined
    this.frozen = false
    this.machine.world.truth.down(this, how)
    for (const tell of this.watchers) tell(died)
  }

  /** Everything in it. False when something could not be killed. */
  kill(part?: 'action'): boolean {
    for (const program of [...this.programs])
      if (part === undefined || ['stop', 'probe', 'migrate'].includes(program.method)) program.kill()
    if (part !== undefined) return true
    if (this.machine.behaviour(this.group).unkillable && this.service !== undefined) return false
    this.serviceDown('killed')
    return true
  }

  onDeath(tell: (died: ProcessIdentity) => void): () => void {
    this.watchers.add(tell)
    return () => this.watchers.delete(tell)
  }
}

export interface AgentsListener {
  onLearnt(group: GroupName, resource: ResourceName, processes: readonly ProcessIdentity[]): void
  onEnded(group: GroupName, resource: ResourceName, process: ProcessIdentity, how: string): void
  onEmptied(group: GroupName, resource: ResourceName): void
}

type Of = Pick<MethodRequest, 'group' | 'resource' | 'cellOf'>

export interface Method {
  cancel(): void
}

/** Runs methods for one process (the monitor, or the guardian when it ends everything itself), as `io/agents` does. */
export class SimAgents {
  private readonly owner: Process
  private readonly machine: Machine
  private readonly listener: AgentsListener
  private readonly watched = new Map<Cell, () => void>()
  /** Kept services that are this process's own children. */
  private readonly children = new Set<number>()

  constructor(owner: Process, listener: AgentsListener) {
    this.owner = owner
    this.machine = owner.machine
    this.listener = listener
    owner.onEnd(() => {
      for (const stop of this.watched.values()) stop()
    })
  }

  begin(
    request: MethodRequest,
    deadline: BootInstant,
    onSpawned: (process: ProcessIdentity) => void,
    done: (result: MethodResult) => void,
  ): Method {
    const cell = this.machine.cell(request.cellOf ?? request.group, request.resource)
    const told = (result: MethodResult) => this.owner.post(() => done(result))
    const { kept, holdsNothing, isRole } = behaviourOf(request.definition)
    if (isRole && request.method !== 'settle') return this.role(cell, request, deadline, onSpawned, told)
    if (holdsNothing) {
      const refused = this.refusal(request, deadline)
      const outcome: MethodResult = refused ?? { outcome: request.method === 'probe' ? 'running' : 'done' }
      this.owner.afterTrue(1, () => done(outcome))
      return { cancel: () => undefined }
    }
    switch (request.method) {
      case 'start':
        return kept ? this.startKept(cell, request, deadline, onSpawned, told) : this.startAgent(cell, request, deadline, onSpawned, told)
      case 'stop':
        return this.stop(cell, request, kept, told)
      case 'probe':
        return this.probe(cell, request, kept, told)
      case 'settle':
        return this.settle(cell, request, kept, told)
      case 'reload':
        return this.reload(cell, request, deadline, told)
      case 'migrate':
        return this.migrate(cell, request, deadline, told)
    }
  }

  /**
   * Sends the service to the same cell of another machine. It is on the way for a while, runs here until it runs there, and what is said of it
   * may be wrong: it may have come there after all. Now and then the machine itself carries it, whatever becomes of the program.
   */
  private migrate(cell: Cell, request: MethodRequest, deadline: BootInstant, told: (result: MethodResult) => void): Method {
    const refused = this.refusal(request, deadline)
    if (refused !== undefined) return answered(told, refused)
    const { random, world } = this.machine
    const { startMs } = this.machine.behaviour(request.group)
    const program = this.program(cell, request, told)
    const { sendMs } = this.machine.behaviour(request.group)
    const drawn = [random.next() < 0.2, random.next() < 0.15, random.next() < 0.25] as const
    const [fails, lies, isCarried] = sendMs === undefined ? drawn : ([false, false, true] as const)
    const [of] = request.group.split(':')
    // Of whatever boot the other machine has by then.
    const cellThere = () => world.machine(request.peer as string)?.cell(`${of}:${request.peer}` as GroupName, request.resource)
    const span = sendMs ?? execMs + (random.next() < 0.5 ? startMs * (0.5 + 3 * random.next()) : 3_500 * random.next())
    this.machine.after(span, () => {
      const there = cellThere()
      if (!isCarried && !cell.programs.has(program)) return
      if (fails || cell.service === undefined || cell.frozen || there === undefined || !there.machine.powered) return
      cell.serviceDown('it goes to another machine')
      there.serviceUp({ pid: nextPid(), startTime: this.machine.scheduler.now })
      world.seen.add('migrated')
    })
    const hasGone = () => cell.service === undefined && cellThere()?.service !== undefined
    this.machine.after(span + execMs, () =>
      program.end(hasGone() && !lies ? { outcome: 'done' } : { outcome: 'failed', detail: 'it could not be sent' }),
    )
    this.machine.after(request.timeout, () => program.end({ outcome: 'timed-out', detail: `it was killed after ${request.timeout} ms` }))
    return { cancel: () => program.end({ outcome: 'cancelled' }) }
  }

  /** Promotes, demotes, or looks which role the copy has. What it does to the copy comes somewhere within its time. */
  private role(
    cell: Cell,
    request: MethodRequest,
    deadline: BootInstant,
    onSpawned: (process: ProcessIdentity) => void,
    told: (result: MethodResult) => void,
  ): Method {
    const refused = this.refusal(request, deadline)
    if (refused !== undefined) return answered(told, refused)
    const { startMs, stopMs, probeMs, startFails, stopHangs, probeFails, unkillable, demotesNot } = this.machine.behaviour(request.group)
    const program = this.program(cell, request, told)
    if (request.method === 'start') onSpawned(program.identity)
    const span = request.method === 'start' ? startMs : request.method === 'stop' ? stopMs : probeMs
    const act = execMs + span * this.machine.random.next()
    const isThere = () => cell.programs.has(program)
    if (request.method === 'start') {
      this.machine.after(execMs, () => {
        if (isThere() && this.machine.runFolder.isSealed(request.group, request.token))
          program.end({ outcome: 'refused', because: 'sealed', detail: 'the token was sealed meanwhile' })
      })
      this.machine.after(act, () => {
        if (isThere() && !startFails && !cell.frozen) cell.promote(request.group)
      })
      this.machine.after(execMs + span, () =>
        program.end(cell.isPrimary ? { outcome: 'done' } : { outcome: 'failed', detail: 'it could not be promoted' }),
      )
    } else if (request.method === 'stop' && !stopHangs && !unkillable)
      this.machine.after(act, () => {
        if (!isThere() || cell.frozen) return
        if (!demotesNot) cell.demote('demoted')
        program.end({ outcome: 'done' })
      })
    else if (request.method === 'probe')
      this.machine.after(act, () =>
        program.end(
          probeFails ? { outcome: 'failed', detail: 'it ended with status 1' } : { outcome: cell.isPrimary ? 'running' : 'stopped' },
        ),
      )
    else if (request.method === 'reload') return answered(told, { outcome: 'done' })
    this.machine.after(request.timeout, () => program.end({ outcome: 'timed-out', detail: `it was killed after ${request.timeout} ms` }))
    return { cancel: () => program.end({ outcome: 'cancelled' }) }
  }

  /** Some changes take effect at once, others need a restart. */
  private reload(cell: Cell, request: MethodRequest, deadline: BootInstant, told: (result: MethodResult) => void): Method {
    const refused = this.refusal(request, deadline)
    if (refused !== undefined) return answered(told, refused)
    const works = this.machine.random.next() < 0.5
    const program = this.program(cell, request, told)
    this.machine.after(execMs + this.machine.behaviour(request.group).probeMs, () =>
      program.end(works ? { outcome: 'done' } : { outcome: 'failed', detail: 'this needs a restart' }),
    )
    return { cancel: () => program.end({ outcome: 'cancelled' }) }
  }

  kill({ group, resource, cellOf = group }: Of, done: (empty: boolean) => void): void {
    const cell = this.machine.cell(cellOf, resource)
    this.machine.after(1 + this.machine.random.next() * 8, () => {
      const empty = cell.kill()
      this.owner.post(() => done(empty))
    })
  }

  watch(group: GroupName, resource: ResourceName, processes: readonly ProcessIdentity[], learn: boolean): void {
    this.unwatch(group, resource)
    const cell = this.machine.cell(group, resource)
    const known = learn ? (cell.service === undefined ? [] : [cell.service]) : processes
    if (known.length === 0) return
    const stop = cell.onDeath((died) => {
      const noticed = 1 + this.machine.random.next() * 25
      this.owner.afterTrue(noticed, () => {
        if (known.some((one) => one.pid === died.pid)) this.listener.onEnded(group, resource, died, 'it has ended')
        if (cell.empty) this.listener.onEmptied(group, resource)
      })
    })
    this.watched.set(cell, stop)
    if (learn) this.listener.onLearnt(group, resource, known)
    for (const process of known) {
      if (!cell.isAlive(process)) this.owner.afterTrue(20, () => this.listener.onEnded(group, resource, process, 'it has ended'))
    }
  }

  unwatch(group: GroupName, resource: ResourceName): void {
    const cell = this.machine.cell(group, resource)
    this.watched.get(cell)?.()
    this.watched.delete(cell)
  }

  /** The last look before a spawn. */
  private refusal({ method, group, token }: MethodRequest, deadline: BootInstant): MethodResult | undefined {
    if (method !== 'start' && method !== 'reload' && method !== 'migrate') return undefined
    if (this.machine.runFolder.isSealed(group, token)) return { outcome: 'refused', because: 'sealed', detail: `token ${token} is sealed` }
    const now = this.machine.clock.boot()
    if (now + bootClockGrain < deadline) return undefined
    return { outcome: 'refused', because: 'deadline', detail: `the lease has run out at ${deadline}, it is ${now}` }
  }

  private startKept(
    cell: Cell,
    request: MethodRequest,
    deadline: BootInstant,
    onSpawned: (process: ProcessIdentity) => void,
    told: (result: MethodResult) => void,
  ): Method {
    const refused = this.refusal(request, deadline)
    if (refused !== undefined) return answered(told, refused)
    let cancelled = false
    let over = false
    const finish = (result: MethodResult) => {
      if (over) return
      over = true
      told(result)
    }
    const program = this.program(cell, request, finish)
    const { identity } = program
    this.children.add(identity.pid)
    onSpawned(identity)
    const { startFails } = this.machine.behaviour(request.group)
    this.machine.after(execMs * (0.5 + this.machine.random.next() * 4), () => {
      if (!cell.programs.delete(program)) return
      if (this.machine.runFolder.isSealed(request.group, request.token)) {
        return finish({ outcome: 'refused', because: 'sealed', detail: 'the token was sealed meanwhile' })
      }
      if (startFails) return finish({ outcome: 'failed', detail: 'it ended with status 1' })
      cell.serviceUp(identity)
      this.machine.after(settleMs, () => {
        if (cancelled) finish({ outcome: 'cancelled' })
        else if (cell.service?.pid === identity.pid) finish({ outcome: 'done' })
        else finish({ outcome: 'failed', detail: 'it has ended' })
      })
    })
    return {
      cancel: () => {
        cancelled = true
        finish({ outcome: 'cancelled' })
      },
    }
  }

  private startAgent(
    cell: Cell,
    request: MethodRequest,
    deadline: BootInstant,
    onSpawned: (process: ProcessIdentity) => void,
    told: (result: MethodResult) => void,
  ): Method {
    const refused = this.refusal(request, deadline)
    if (refused !== undefined) return answered(told, refused)
    const { random } = this.machine
    const { startMs, startFails } = this.machine.behaviour(request.group)
    const program = this.program(cell, request, told)
    onSpawned(program.identity)
    const exec = execMs * (0.5 + random.next() * 4)
    this.machine.after(exec, () => {
      if (cell.programs.has(program) && this.machine.runFolder.isSealed(request.group, request.token)) {
        program.end({ outcome: 'refused', because: 'sealed', detail: 'the token was sealed meanwhile' })
      }
    })
    const up = exec + startMs * random.next()
    const end = exec + startMs
    // What was sent is only taken over.
    const hasCome = request.peer !== undefined
    this.machine.after(up, () => {
      if (cell.programs.has(program) && !startFails && !hasCome) cell.serviceUp({ pid: nextPid(), startTime: this.machine.scheduler.now })
    })
    const isUp = () => !startFails && (!hasCome || cell.service !== undefined)
    this.machine.after(end, () => program.end(isUp() ? { outcome: 'done' } : { outcome: 'failed', detail: 'it ended with status 1' }))
    const kill = (result: MethodResult) => {
      if (!cell.programs.has(program)) return
      program.end(result)
      cell.serviceDown('its start was killed')
    }
    this.machine.after(request.timeout, () => kill({ outcome: 'timed-out', detail: `it was killed after ${request.timeout} ms` }))
    return { cancel: () => kill({ outcome: 'cancelled' }) }
  }

  private stop(cell: Cell, request: MethodRequest, kept: boolean, told: (result: MethodResult) => void): Method {
    const { stopMs, stopHangs, unkillable } = this.machine.behaviour(request.group)
    if (kept && !request.processes.some((process) => cell.isAlive(process))) return answered(told, { outcome: 'done' })
    const program = this.program(cell, request, told)
    const hangs = stopHangs || unkillable
    if (!hangs) {
      this.machine.after(execMs + stopMs * (0.5 + this.machine.random.next()), () => {
        // What stands still answers to nothing but a kill.
        if (!cell.programs.has(program) || cell.frozen) return
        // Many agents take it for a mistake of their cluster manager.
        if (cell.isPrimary) return program.end({ outcome: 'failed', detail: 'it is the primary' })
        cell.serviceDown('stopped')
        program.end({ outcome: 'done' })
      })
    }
    this.machine.after(request.timeout, () => program.end({ outcome: 'timed-out', detail: `it was killed after ${request.timeout} ms` }))
    return { cancel: () => program.end({ outcome: 'cancelled' }) }
  }

  private probe(cell: Cell, request: MethodRequest, kept: boolean, told: (result: MethodResult) => void): Method {
    if (kept) {
      const running = request.processes.some((process) => cell.isAlive(process))
      if (running) told({ outcome: 'running' })
      else if (cell.empty) told({ outcome: 'stopped' })
      else
        told(
          request.processes.length === 0
            ? { outcome: 'running' }
            : { outcome: 'failed', detail: 'its process has ended but others of it are left' },
        )
      return nothing
    }
    const { probeMs, probeFails } = this.machine.behaviour(request.group)
    const program = this.program(cell, request, told)
    this.machine.after(execMs + probeMs, () => {
      if (probeFails) program.end({ outcome: 'failed', detail: 'it ended with status 1' })
      else program.end({ outcome: cell.service === undefined ? 'stopped' : 'running' })
    })
    return { cancel: () => program.end({ outcome: 'cancelled' }) }
  }

  private settle(cell: Cell, request: MethodRequest, kept: boolean, told: (result: MethodResult) => void): Method {
    const [start] = request.processes
    if (start === undefined) return answered(told, { outcome: 'failed', detail: 'nobody knows its process' })
    let over = false
    const end = (result: MethodResult) => {
      if (!over) told(result)
      over = true
    }
    const look = () => {
      if (over) return
      const here = cell.isAlive(start)
      if (kept) {
        if (!here) end({ outcome: 'failed', detail: 'it has ended' })
        else if (cell.service?.pid === start.pid) end({ outcome: 'done' })
        else this.machine.after(20, look)
      } else if (here) this.machine.after(20, look)
      else end({ outcome: 'done' })
    }
    look()
    this.machine.after(request.timeout, () => {
      if (over) return
      cell.kill()
      end({ outcome: 'timed-out', detail: `its start was killed after ${request.timeout} ms` })
    })
    return { cancel: () => end({ outcome: 'cancelled' }) }
  }

  private program(cell: Cell, request: MethodRequest, told: (result: MethodResult) => void): Program {
    const program: Program = {
      method: request.method,
      identity: { pid: nextPid(), startTime: Math.round(this.machine.scheduler.now) },
      end: (result) => {
        if (cell.programs.delete(program)) told(result)
      },
      kill: () => program.end({ outcome: 'failed', detail: 'it was killed by SIGKILL' }),
    }
    cell.programs.add(program)
    return program
  }
}

const nothing: Method = { cancel: () => undefined }

function answered(told: (result: MethodResult) => void, result: MethodResult): Method {
  told(result)
  return nothing
}

export type { Timer }
