/**
 * `npm run bench:failover`: the gap that a client polling every 10 ms sees, by cause.
 *
 * Options: --runs N (20), --profiles fast,normal, --arenas loopback,namespaces, --only kill,cut,move,death. Every run that
 * loses a node is fenced with proof before the takeover; a journal that the service writes itself shows whether two copies
 * ever ran at one instant. Prints a table, and JSON with --json.
 *
 * With --peers pacemaker,pacemaker:1000 the same is done to Pacemaker and Corosync afterwards, in the same kind of namespaces, with
 * their defaults or with that token time in milliseconds (--peer-runs N, 10).
 *
 * Of a move, and of a death, the service's own time is told apart: what its program took to stop and to open its port.
 */
import { overlaps, readCopies } from '../lib/journal.js'
import { type Arena, names, openArena, placeLead, serviceDeath, settled } from './arena.js'
import { lacksForPacemaker, openPacemaker, type PacemakerCluster } from './pacemaker.js'
import { type Figures, figures } from './watch.js'

if (process.argv.includes('--help')) {
  process.stdout.write(
    'npm run bench:failover -- [--runs 20] [--profiles fast,normal] [--arenas loopback,namespaces] [--only kill,cut,move,death] [--peers pacemaker,pacemaker:1000] [--peer-runs 10] [--json]\n',
  )
  process.exit(0)
}
const option = (name: string, fallback: string): string => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? fallback : (process.argv[at + 1] ?? fallback)
}
const runs = Number(option('runs', '20'))
const profiles = option('profiles', 'fast,normal').split(',')
const root = process.getuid?.() === 0
const arenas = option('arenas', root ? 'loopback,namespaces' : 'loopback').split(',') as Arena['kind'][]
const only = option('only', 'kill,cut,move,death').split(',')
const peers = option('peers', '').split(',').filter(Boolean)
const peerRuns = Number(option('peer-runs', '10'))
if (peers.some((peer) => !/^pacemaker(:\d+)?$/.test(peer))) throw new Error('of peers there are pacemaker and pacemaker:<token in ms>')
const lacks = peers.length > 0 ? lacksForPacemaker() : undefined
if (lacks !== undefined) throw new Error(`Pacemaker cannot be measured: ${lacks}`)

interface Row {
  readonly arena: string
  readonly profile: string
  readonly what: string
  readonly gap: Figures
  /** Of it the fence device's own time: from the arbiter's right to call it until it had been read back. */
  readonly device: Figures | undefined
  /** What is left of the gap without the service's own stop and start. */
  readonly without: Figures | undefined
}

interface Run {
  readonly gap: number
  readonly device?: number | undefined
  readonly own?: number | undefined
}
const rows: Row[] = []
let doubles = 0

const versions = new Set<string>()

for (const kind of arenas) {
  const arena = await openArena(kind)
  try {
    for (const profile of profiles) {
      const changed = await arena.api('PATCH', '/v1/settings', { profile })
      if (changed.status !== 200) throw new Error(`the profile was refused: ${JSON.stringify(changed.body)}`)
      for (const atLeader of [true, false]) {
        const who = atLeader ? 'leader' : 'not the leader'
        if (only.includes('kill')) await measure(arena.kind, profile, `node killed, ${who}`, () => loseNode(arena, atLeader, 'kill'))
        if (only.includes('cut') && arena.cut !== undefined)
          await measure(arena.kind, profile, `node cut off, ${who}`, () => loseNode(arena, atLeader, 'cut'))
      }
      if (only.includes('move')) await measure(arena.kind, profile, 'planned move', () => move(arena))
      if (only.includes('death')) await measure(arena.kind, profile, 'service process killed', () => serviceDeath(arena))
    }
    doubles += overlaps(readCopies(arena.journal)).length
  } finally {
    await arena.close()
  }
}
for (const peer of peers) {
  const token = peer.split(':')[1]
  const cluster = await openPacemaker(token === undefined ? undefined : Number(token))
  versions.add(cluster.version)
  const what = `Pacemaker, ${token === undefined ? 'defaults' : `token ${token} ms`}`
  try {
    for (const [how, name] of [
      ['kill', 'node killed'],
      ['cut', 'node cut off'],
    ] as const)
      if (only.includes(how)) await measure('namespaces', what, name, () => loseUnderPacemaker(cluster, how), peerRuns)
    doubles += overlaps(readCopies(cluster.journal)).length
  } finally {
    await cluster.close()
  }
}
print()

async function measure(arena: string, profile: string, what: string, once: () => Promise<Run>, count = runs): Promise<void> {
  const done: Run[] = []
  for (let run = 0; run < count; run++) {
    done.push(await once())
    process.stderr.write(`\r${arena} ${profile} ${what}: ${done.length}/${count}, last ${done.at(-1)?.gap} ms   `)
  }
  process.stderr.write('\n')
  const devices = done.flatMap((run) => run.device ?? [])
  const without = done.flatMap((run) => (run.own === undefined ? [] : [run.gap - run.own]))
  rows.push({
    arena,
    profile,
    what,
    gap: figures(done.map((run) => run.gap)),
    device: devices.length === 0 ? undefined : figures(devices),
    without: without.length === 0 ? undefined : figures(without),
  })
}

async function loseNode(arena: Arena, atLeader: boolean, how: 'kill' | 'cut'): Promise<Run> {
  const { holder } = await placeLead(arena, atLeader)
  const since = Date.now()
  if (how === 'kill') arena.lab.power.get(holder)?.crash()
  else await arena.cut?.(holder)
  const back = await arena.watch.until(since, (success) => !success.text.includes(`by ${holder},`), 60_000)
  const gap = arena.watch.longestGap(since, back.at)
  if (how === 'cut') await arena.heal?.(holder)
  const after = await settled(arena)
  const cases = (await arena.api('GET', '/v1/cases')).body.cases as readonly Case[]
  const fenced = cases.filter((one) => one.node === holder && one.proof?.kind === 'fenced')
  if (fenced.length === 0 || after.holder === holder) throw new Error(`${holder} was lost and no fencing is recorded`)
  const newest = fenced.reduce((a, b) => (a.openedAt > b.openedAt ? a : b))
  if (process.argv.includes('--steps')) {
    const { timeline } = (await arena.api('GET', `/v1/cases/${newest.id}`)).body as { timeline: readonly { stage: string; at: string }[] }
    const steps = timeline.map(({ stage, at }) => `${stage} +${Date.parse(at) - since}`)
    const started = readCopies(arena.journal).at(-1)
    process.stderr.write(
      `\n${steps.join(', ')}; ${newest.attempts[0]?.detail}; the service takes ${started?.startTook} to start; back +${back.at - since}\n`,
    )
  }
  return { gap, device: deviceTime(newest.attempts.find((attempt) => attempt.state === 'confirmed')?.detail ?? '') }
}

interface Case {
  readonly id: string
  readonly node: string
  readonly openedAt: string
  readonly proof: { readonly kind: string } | null
  readonly attempts: readonly { readonly state: string; readonly detail: string }[]
}

/** An attempt's record says after how many milliseconds each of its steps was done. */
function deviceTime(detail: string): number | undefined {
  const steps = [...detail.matchAll(/\(\+(\d+) ms\)/g)].map((step) => Number(step[1]))
  const [renewed, read] = [steps[0], steps.at(-1)]
  return renewed === undefined || read === undefined ? undefined : read - renewed
}

async function loseUnderPacemaker(cluster: PacemakerCluster, how: 'kill' | 'cut'): Promise<Run> {
  const holder = await cluster.settled()
  const since = Date.now()
  if (how === 'kill') cluster.crash(holder)
  else await cluster.cut(holder)
  const back = await cluster.watch.until(since, (success) => !success.text.includes(`by ${holder},`), 60_000)
  if (how === 'cut') await cluster.heal(holder)
  return { gap: cluster.watch.longestGap(since, back.at) }
}

async function move(arena: Arena): Promise<Run> {
  const { holder } = await settled(arena)
  const to = names.find((name) => name !== holder) as string
  const since = Date.now()
  await arena.api('POST', '/v1/groups/web/move', { to })
  const back = await arena.watch.until(since, (success) => success.text.includes(`by ${to},`), 60_000)
  const copies = readCopies(arena.journal)
  const stopTook = copies.findLast((copy) => copy.node === holder)?.stopTook
  const startTook = copies.findLast((copy) => copy.node === to)?.startTook
  const own = stopTook === undefined || startTook === undefined ? undefined : stopTook + startTook
  return { gap: arena.watch.longestGap(since, back.at), own }
}

function print(): void {
  if (process.argv.includes('--json')) {
    process.stdout.write(`${JSON.stringify({ runs, rows, doubles, pacemaker: [...versions] })}\n`)
    return
  }
  process.stdout.write(
    '\n| where | profile | what | runs | min | median | p95 | max (ms) | of it device, median | without the service’s own stop and start, median (max) |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n',
  )
  for (const { arena, profile, what, gap, device, without } of rows) {
    const { count, min, median, p95, max } = gap
    const rest = without === undefined ? '' : `${without.median} (${without.max})`
    process.stdout.write(`| ${[arena, profile, what, count, min, median, p95, max, device?.median ?? '', rest].join(' | ')} |\n`)
  }
  if (versions.size > 0) process.stdout.write(`\nPacemaker ${[...versions].join()} of Debian.\n`)
  process.stdout.write(`\nInstants with two copies, by the service's own journal: ${doubles}\n`)
}
