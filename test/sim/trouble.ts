/**
 * When what befalls the cluster: drawn from the seed beforehand, so that a failing run can be played again without some of it.
 */
import { chooseFault, type Fault, type Faults } from './faults.js'
import { Random } from './random.js'
import { healthy } from './services.js'
import type { World } from './world.js'

interface Strike {
  readonly number: number
  /** Milliseconds after the trouble begins. */
  readonly at: number
  readonly lasts: number
  readonly seed: number
}

export interface TroublePlan {
  readonly faults: Faults
  /** Milliseconds. */
  readonly span: number
  /** Longest pause between two strikes. */
  readonly gapMax: number
  readonly gapMin: number
  readonly short: number
  readonly long: number
  /** At most so many at a time. */
  readonly activeMax: number
  /** Strikes that are left out, by number. */
  readonly omit: ReadonlySet<number>
}

export class Trouble {
  /** What struck. */
  count = 0
  /** What was drawn. */
  readonly drawn: number
  private readonly world: World
  private readonly plan: TroublePlan
  private readonly strikes: readonly Strike[]
  private readonly active = new Set<Fault>()
  private over = false

  constructor(world: World, random: Random, plan: TroublePlan) {
    this.world = world
    this.plan = plan
    this.strikes = drawStrikes(random, plan)
    this.drawn = this.strikes.length
  }

  begin(): void {
    for (const strike of this.strikes)
      if (!this.plan.omit.has(strike.number)) this.world.scheduler.after(strike.at, () => this.strike(strike))
  }

  private strike({ number, lasts, seed }: Strike): void {
    if (this.over || this.active.size >= this.plan.activeMax) return
    const fault = chooseFault(this.world, new Random(seed), this.plan.faults)
    if (fault === undefined) return
    this.count++
    this.world.struck.push(number)
    this.world.trace.add('>>>>', `#${number} ${fault.text}`)
    this.active.add(fault)
    this.world.scheduler.after(lasts, () => this.heal(fault))
  }

  private heal(fault: Fault): void {
    if (!this.active.delete(fault)) return
    this.world.trace.add('<<<<', `over: ${fault.text}`)
    fault.heal()
  }

  /** Mends everything, and does what a person would: switches on what is off. */
  end(): void {
    this.over = true
    for (const fault of [...this.active]) this.heal(fault)
    const { world } = this
    world.network.healAll()
    for (const machine of world.machines) {
      for (const behaviour of machine.behaviours.values()) Object.assign(behaviour, healthy)
      for (const process of machine.processes) process.resume()
      machine.device.mode = 'works'
      machine.device.forgets = false
      machine.device.latencyMax = 200
      machine.disk.mend()
      if (!machine.powered) machine.powerOn()
    }
    world.trace.add('----', 'everything is mended')
  }
}

function drawStrikes(random: Random, { span, gapMin, gapMax, short, long }: TroublePlan): readonly Strike[] {
  const strikes: Strike[] = []
  for (let at = 0; ; ) {
    at += gapMin + random.next() * (gapMax - gapMin)
    if (at >= span) return strikes
    const lasts = random.chance(0.3) ? short + random.next() * (long - short) : 20 + random.next() * (short - 20)
    strikes.push({ number: strikes.length + 1, at, lasts, seed: random.between(1, 2 ** 31) })
  }
}
