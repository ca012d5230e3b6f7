/** A LUN that every machine reaches, with persistent reservations as an array keeps them, and as bad as arrays can be. */
import type { DiskName } from '../../src/base/index.js'
import type { DiskAnswer, DiskKey, DiskOrder, DiskRequest } from '../../src/core/disks/index.js'
import type { Machine } from './machine.js'
import type { World } from './world.js'

/** `keeps`: says that a key is taken away, and it is not. */
export type DiskMode = 'works' | 'unreachable' | 'keeps'

export class SharedDisk {
  readonly name: DiskName
  mode: DiskMode = 'works'
  /** Milliseconds of one request. */
  latency = 1
  private readonly world: World
  private registrations: { readonly machine: Machine; readonly session: string; readonly key: DiskKey }[] = []
  private reservation: number | null = null
  private generation = 0
  /** Sessions that were broken, by machine. */
  private readonly sessions = new Map<Machine, number>()
  readonly requests: { readonly by: string; readonly do: DiskRequest['do']; readonly at: number }[] = []

  constructor(world: World, name: DiskName) {
    this.world = world
    this.name = name
  }

  /** The connection of a machine is lost, and with it what it had registered. */
  breakSession(machine: Machine): void {
    this.sessions.set(machine, (this.sessions.get(machine) ?? 0) + 1)
    this.forget((one) => one.machine === machine)
  }

  /** What a person does with a tool at hand. */
  takeKeysOf(machine: Machine): void {
    this.forget((one) => one.machine === machine)
  }

  /** Without power for a moment, and without a memory for keys: nobody is kept out any more. */
  forgetAll(): void {
    this.forget(() => true)
    for (const machine of this.world.machines) this.world.truth.mayWriteAgain(machine, this.name)
  }

  mayWrite(machine: Machine): boolean {
    if (this.reservation === null) return true
    return this.registrations.some((one) => one.machine === machine && one.session === this.sessionOf(machine))
  }

  /** The answer comes at its time, on the machine's own side; what is asked is done somewhat earlier. */
  send(machine: Machine, { id, request, timeout }: DiskOrder, answer: (answer: DiskAnswer) => void): void {
    const { scheduler } = this.world
    const session = this.sessionOf(machine)
    this.requests.push({ by: machine.name, do: request.do, at: scheduler.now })
    const failed: DiskAnswer = { disk: this.name, id, status: 'failed', detail: 'no answer', session: '' }
    if (this.mode === 'unreachable' || this.latency > timeout) {
      scheduler.after(timeout, () => {
        this.breakSession(machine)
        answer(failed)
      })
      if (this.mode === 'unreachable') return
    }
    scheduler.after(this.latency / 2, () => {
      // A session that ends meanwhile ends its requests with it, and says so.
      if (session !== this.sessionOf(machine)) return this.latency > timeout ? undefined : answer(failed)
      const found = this.carryOut(machine, session, request)
      if (this.latency > timeout) return
      scheduler.after(this.latency / 2, () => answer({ disk: this.name, id, detail: found.status ?? '', session, ...found }))
    })
  }

  private sessionOf(machine: Machine): string {
    return `${machine.bootId}/${this.sessions.get(machine) ?? 0}`
  }

  private carryOut(machine: Machine, session: string, request: DiskRequest): Pick<DiskAnswer, 'status'> & Partial<DiskAnswer> {
    const own = this.registrations.find((one) => one.machine === machine && one.session === session)
    switch (request.do) {
      case 'keys':
        return {
          status: 'good',
          keys: this.registrations.map(({ key }) => key),
          generation: this.generation,
          mine: own?.key === request.key,
        }
      case 'reservation':
        return { status: 'good', reservation: this.reservation === null ? null : { key: '0', type: this.reservation } }
      case 'register':
        this.generation++
        this.registrations = this.registrations.filter((one) => one !== own)
        this.registrations.push({ machine, session, key: request.key })
        this.world.truth.mayWriteAgain(machine, this.name)
        return { status: 'good' }
      default:
        if (own?.key !== request.key) return { status: 'conflict' }
    }
    this.generation++
    if (request.do === 'unregister') this.forget((one) => one === own)
    if (request.do === 'clear') this.forget(() => true)
    if (request.do === 'reserve') {
      this.reservation = request.type
      // Where there was none for a while, whose registration was lost could write until now.
      for (const one of this.world.machines) if (!this.mayWrite(one)) this.world.truth.cutOff(one, this.name)
    }
    if (request.do === 'preempt' || request.do === 'preempt-abort') {
      if (!this.registrations.some(({ key }) => key === request.victim)) return { status: 'conflict' }
      if (this.mode !== 'keeps') this.forget(({ key }) => key === request.victim)
    }
    return { status: 'good' }
  }

  private forget(isGone: (one: (typeof this.registrations)[number]) => boolean): void {
    const before = new Set(this.registrations.map(({ machine }) => machine))
    this.registrations = this.registrations.filter((one) => !isGone(one))
    // The last one takes the reservation with it.
    if (this.registrations.length === 0) this.reservation = null
    for (const machine of before) if (!this.mayWrite(machine)) this.world.truth.cutOff(machine, this.name)
  }
}
