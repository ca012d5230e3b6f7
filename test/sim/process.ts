/** One process of a machine: runs callbacks while it lives, keeps them while it is stopped (SIGSTOP), loses them when it ends. */
import type { Machine } from './machine.js'
import type { Timer } from './scheduler.js'

export type HowEnded = 'killed' | 'lost power'

let lastPid = 0

/** Pids are numbered per world. */
export function resetPids(): void {
  lastPid = 100
}

export function nextPid(): number {
  return ++lastPid
}

export class Process {
  readonly machine: Machine
  readonly role: string
  readonly pid = nextPid()
  alive = true
  paused = false
  private held: (() => void)[] = []
  private readonly endings: ((how: HowEnded) => void)[] = []

  constructor(machine: Machine, role: string) {
    this.machine = machine
    this.role = role
  }

  /** After so many milliseconds of the machine's own clock. */
  after(span: number, run: () => void): Timer {
    return this.afterTrue(span / this.machine.clock.rate, run)
  }

  afterTrue(span: number, run: () => void): Timer {
    return this.machine.scheduler.after(span, () => this.now(run))
  }

  /** In a moment, after what already waits. */
  post(run: () => void): void {
    this.afterTrue(0, run)
  }

  /** Every so many milliseconds of the machine's own clock; after a pause once, not for each that was missed. */
  every(span: number, run: () => void): void {
    this.after(span, () => {
      run()
      if (this.alive) this.every(span, run)
    })
  }

  /** From outside: at once, or when the process is let run again. */
  now(run: () => void): void {
    if (!this.alive) return
    if (this.paused) this.held.push(run)
    else run()
  }

  onEnd(run: (how: HowEnded) => void): void {
    this.endings.push(run)
  }

  end(how: HowEnded): void {
    if (!this.alive) return
    this.alive = false
    this.held = []
    for (const run of this.endings) run(how)
  }

  pause(): void {
    this.paused = true
  }

  /** What was held comes first, in its order. */
  resume(): void {
    if (!this.paused) return
    this.paused = false
    const held = this.held
    this.held = []
    for (const run of held) this.post(run)
  }
}
