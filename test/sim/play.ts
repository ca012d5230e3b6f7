/** What all kinds of runs have in common: what is asked for, how it is told, and what a person does meanwhile. */
import type { RegisterClients } from './clients.js'
import { Broken, type World, type WorldOptions } from './world.js'

export type Profile = 'whole' | 'consensus' | 'fencing'

export interface Run {
  readonly seed: number
  /** `whole`: everything that a node is. `consensus`: nodes without services, and what befalls their logs. `fencing`: nodes that are lost. */
  readonly profile?: Profile
  readonly nodes?: number
  /** Virtual milliseconds of trouble. */
  readonly span?: number
  /** Faults that are left out, by the number that the trace gives them. */
  readonly omit?: ReadonlySet<number>
  readonly live?: boolean
  /** False: no shared disks, whatever the seed says. For stories that were found before there were any. */
  readonly arrays?: boolean
  /** Over what the seed chooses. */
  readonly options?: Partial<WorldOptions>
}

export interface Report {
  readonly seed: number
  readonly checksum: string
  readonly nodes: number
  readonly virtualMs: number
  readonly steps: number
  /** That struck; and that were drawn. */
  readonly faults: number
  readonly drawn: number
  readonly grants: number
  /** That there were before the trouble; 0 where nobody counts them. */
  readonly groups: number
  readonly cases: number
  readonly terms: number
  readonly acknowledged: number
  readonly recoveryMs: number
  readonly seen: readonly string[]
}

/** A run that broke a promise, as whoever makes it shorter needs it. */
export class BrokenRun extends Broken {
  readonly run: Run
  /** Virtual milliseconds at which it broke. */
  readonly at: number
  readonly what: string
  /** Numbers of the faults that had struck. */
  readonly struck: readonly number[]

  constructor(run: Run, what: string, world: World, cause: unknown) {
    const stack = cause instanceof Error && !(cause instanceof Broken) ? `\n${cause.stack}` : ''
    super(`seed ${run.seed}: ${what}\nagain: ${commandOf(run)}\n${world.trace.last.join('\n')}${stack}`, { cause })
    this.run = run
    this.what = what
    this.at = Math.round(world.scheduler.now)
    this.struck = [...world.struck]
  }
}

export function commandOf({ seed, profile = 'whole', nodes, span, omit }: Run): string {
  const words = ['npm run sim --', `--seed ${seed}`, `--profile ${profile}`]
  if (nodes !== undefined) words.push(`--nodes ${nodes}`)
  if (span !== undefined) words.push(`--span ${span}`)
  if (omit !== undefined && omit.size > 0) words.push(`--omit ${[...omit].join()}`)
  return words.join(' ')
}

/** Throws `BrokenRun`. */
export function play(
  world: World,
  run: Run,
  story: () => Pick<Report, 'faults' | 'drawn' | 'recoveryMs' | 'acknowledged'> & Partial<Pick<Report, 'groups'>>,
): Report {
  try {
    const told = story()
    const { checks, scheduler, trace } = world
    return {
      seed: run.seed,
      checksum: trace.checksum,
      nodes: world.options.nodes,
      virtualMs: Math.round(scheduler.now),
      steps: scheduler.steps,
      grants: checks.grants,
      groups: 0,
      cases: checks.cases,
      terms: checks.highestTerm,
      seen: [...world.seen],
      ...told,
    }
  } catch (error) {
    const cause = error instanceof Broken ? error.cause : error
    const what = error instanceof Error ? error.message : String(error)
    throw new BrokenRun(run, what, world, cause)
  }
}

/** The clients' history. */
export function judge(world: World, clients: RegisterClients): void {
  const wrong = clients.history.judge()
  if (wrong === undefined) return
  world.fail(`the clients' history is not linearizable: ${wrong}`)
  world.run(1)
}

/** A person looks now and then: a node whose log is damaged says so, and its folder is moved away. */
export function attend(world: World): void {
  for (const machine of world.machines) {
    const { disk, daemon, powered } = machine
    if (powered && disk.isDamaged && daemon !== undefined && !daemon.process.alive) machine.moveFolderAway('its log is damaged')
  }
  world.scheduler.after(300, () => attend(world))
}
