/**
 * Judges what was seen from outside: the services' journals, the lease in the run folder as it was looked at, and what was done.
 * All times are the machine's uptime in milliseconds, the clock of leases.
 */

/** One look at the node. */
export interface Look {
  readonly at: number
  /** Read after everything else of the look, so that it is never older than what was seen. */
  readonly deadline: number
  /** Groups of which something ran at `at`. */
  readonly running: readonly string[]
}

export interface Note {
  readonly at: number
  readonly what: 'start' | 'beat' | 'stop'
  /** Tells one run of a service from the next: pid, or of what has no process its file. */
  readonly run: string
  readonly token: number
}

export interface Hit {
  readonly at: number
  readonly action: number
  readonly kind: 'service' | 'agent' | 'power'
  /** Every group where the node lost its power. */
  readonly group: string | undefined
  /** Of an agent: what was in flight. */
  readonly method: string | undefined
}

export interface Seen {
  readonly emergencyStop: number
  readonly looks: readonly Look[]
  readonly journals: ReadonlyMap<string, readonly Note[]>
  readonly hits: readonly Hit[]
}

export interface Verdict {
  /** Services that ran although the lease and the emergency stop were over. */
  readonly outOfControl: readonly string[]
  /** The same, where the stand itself stood still for so long just before: nobody can tell. */
  readonly undecided: readonly string[]
  /** Services that were started again although nothing was done to them and the lease was kept. */
  readonly needless: readonly string[]
  /** How many starts there were, and why they were in order. */
  readonly starts: Readonly<Record<'first' | 'hit' | 'agents' | 'lease' | 'power', number>>
  /** Least time from a look with something running to the end that it had to keep. Milliseconds; undefined where the lease never ran out. */
  readonly leastMargin: number | undefined
  /** Times at which the lease ran out. */
  readonly leasesLost: number
  /** Between two looks, at most. */
  readonly longestBlindness: number
}

/** `/proc/uptime` counts in hundredths of a second. */
const grain = 10
/** Within so long two hits of a group's agents may add up to a failure: two of three probes. */
const agentsAddUp = 30_000
/** How long the consequences of a hit may take to begin. */
const consequence = 15_000

/** The watchdog that is stood in for is as late as whoever looks: what ran late by no more than that cannot be laid to the node. */
const stallsCount = 5_000

export function judge(seen: Seen): Verdict {
  const starts = { first: 0, hit: 0, agents: 0, lease: 0, power: 0 }
  const needless: string[] = []
  for (const [group, notes] of seen.journals) {
    for (const restart of startsOf(notes)) {
      const why = reasonOf(seen, group, restart)
      if (why === undefined) needless.push(describe(seen, group, restart))
      else starts[why]++
    }
  }
  return { ...lateOnes(seen), needless, starts, ...leaseOf(seen) }
}

function describe({ hits }: Seen, group: string, { note, before }: Restart): string {
  const own = hits.filter((hit) => (hit.group ?? group) === group && Math.abs(hit.at - note.at) < 30_000)
  const told = own.map(({ at, action, kind, method }) => `${method ?? kind} at ${at} by action ${action}`).join(', ')
  return `${group}: run ${note.run} under token ${note.token} began at ${note.at}; the run before it from ${before?.began} to ${before?.lastSeen}; hits near it: ${told || 'none'}`
}

interface Restart {
  readonly note: Note
  /** The run before; undefined of the first. */
  readonly before: { readonly began: number; readonly lastSeen: number } | undefined
}

function startsOf(notes: readonly Note[]): readonly Restart[] {
  const found: Restart[] = []
  const known = new Set<string>()
  for (const [at, note] of notes.entries()) {
    const run = `${note.run} ${note.token}`
    if (known.has(run)) continue
    known.add(run)
    const [last, previous] = [notes[at - 1], found.at(-1)]
    found.push({ note, before: last && previous && { began: previous.note.at, lastSeen: last.at } })
  }
  return found
}

function reasonOf({ hits, looks, emergencyStop }: Seen, group: string, { note, before }: Restart): keyof Verdict['starts'] | undefined {
  if (before === undefined) return 'first'
  const { began, lastSeen } = before
  const until = hits.filter((hit) => hit.at <= note.at + grain)
  if (until.some((hit) => hit.kind === 'power' && hit.at >= lastSeen - consequence && hit.at >= began)) return 'power'
  const own = until.filter((hit) => hit.group === group)
  // What was done to the run before, not long before it was last seen.
  if (own.some((hit) => hit.kind === 'service' && hit.at >= began - grain && lastSeen <= hit.at + consequence)) return 'hit'
  const agents = own.filter((hit) => hit.kind === 'agent' && hit.at >= lastSeen - agentsAddUp)
  if (agents.some((hit) => hit.method !== 'probe') || agents.length > 1) return 'agents'
  return ranOut(looks, lastSeen - emergencyStop - 1_000, note.at) ? 'lease' : undefined
}

/** Whether the lease was over in between, or may have been while nobody looked. */
function ranOut(looks: readonly Look[], from: number, to: number): boolean {
  return looks.some((look, at) => {
    const next = looks[at + 1]
    if (next === undefined || next.at < from || look.at > to) return false
    return look.deadline <= look.at + 2 * grain || look.deadline <= next.at
  })
}

function lateOnes({ looks, journals, emergencyStop }: Seen): Pick<Verdict, 'outOfControl' | 'undecided'> {
  /** The worst of each time that the lease was over, by who ran: one that lasts is one. */
  const worst = new Map<string, { readonly over: number; readonly stall: number }>()
  const late = (who: string, at: number, deadline: number): void => {
    const over = at - deadline - emergencyStop
    const key = `${who}, after a lease that ended at ${deadline}`
    if (over > Math.max(grain, worst.get(key)?.over ?? 0)) worst.set(key, { over, stall: longestGap(looks, at - stallsCount, at) })
  }
  for (const { at, deadline, running } of looks) for (const group of running) late(`${group} ran`, at, deadline)
  for (const [group, notes] of journals) {
    let look = 0
    for (const { at } of notes) {
      // The first look after the note: no lease that was renewed before the note is missing in it.
      while (look < looks.length && (looks[look] as Look).at < at) look++
      const deadline = looks[look]?.deadline
      if (deadline !== undefined) late(`${group} noted something`, at, deadline)
    }
  }
  const told = (undecided: boolean): readonly string[] =>
    [...worst].flatMap(([what, { over, stall }]) =>
      undecided === over <= stall
        ? [`${what}: ${over} ms after the emergency stop should have been over (nobody looked for ${stall} ms)`]
        : [],
    )
  return { outOfControl: told(false), undecided: told(true) }
}

function longestGap(looks: readonly Look[], from: number, to: number): number {
  return looks.reduce((longest, { at }, index) => {
    const before = looks[index - 1]?.at ?? at
    return at < from || before > to ? longest : Math.max(longest, at - before)
  }, 0)
}

function leaseOf({ looks, emergencyStop }: Seen): Pick<Verdict, 'leastMargin' | 'leasesLost' | 'longestBlindness'> {
  let leastMargin: number | undefined
  let leasesLost = 0
  let longestBlindness = 0
  let held = true
  for (const [at, look] of looks.entries()) {
    const holds = look.deadline > look.at
    if (held && !holds) leasesLost++
    held = holds
    if (!holds && look.running.length > 0) leastMargin = Math.min(leastMargin ?? emergencyStop, look.deadline + emergencyStop - look.at)
    longestBlindness = Math.max(longestBlindness, at === 0 ? 0 : look.at - (looks[at - 1] as Look).at)
  }
  return { leastMargin, leasesLost, longestBlindness }
}
