/** The fence device of one machine: on a network of its own, as slow and as unreliable as devices are. What it was asked cannot be called back. */
import type { Machine } from './machine.js'
import type { Random } from './random.js'

export type DeviceMode = 'works' | 'fails' | 'unreachable'
export type DeviceAction = 'off' | 'on' | 'status'

export class Device {
  readonly machine: Machine
  mode: DeviceMode = 'works'
  /** Milliseconds of one call. */
  latencyMin = 20
  latencyMax = 200
  /** Says that it has done it and has not, and that it is off: what no proof survives. */
  lies = false
  /** Says that it has done it and has not; asked for the state it tells the truth. */
  forgets = false
  private readonly random: Random

  constructor(machine: Machine, random: Random) {
    this.machine = machine
    this.random = random
  }

  /** Answers with the exit status of a fence agent; for an unreachable device with 1, late. */
  call(action: DeviceAction, answer: (code: number) => void): void {
    const { scheduler } = this.machine
    const { mode } = this
    const latency = this.latencyMin + this.random.next() * (this.latencyMax - this.latencyMin)
    if (mode === 'unreachable') {
      scheduler.after(2_000 + latency, () => answer(1))
      return
    }
    const acts = latency * this.random.next()
    scheduler.after(acts, () => {
      if (mode === 'fails' && action !== 'status') return
      if ((this.lies || this.forgets) && action === 'off') return
      if (action === 'off') this.machine.powerOff('by its fence device')
      if (action === 'on') this.machine.powerOn()
    })
    scheduler.after(latency, () => {
      if (action === 'status') answer(this.machine.powered && !this.lies ? 0 : 2)
      else answer(mode === 'fails' ? 1 : 0)
    })
  }
}
