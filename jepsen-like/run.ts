/**
 * `npm run chaos -- --minutes 10`: real daemons, real faults, clients that note what they saw, and judges.
 *
 * The exit status is 0 where nothing contradicts, 1 where something does, 2 where nothing could be judged, 64 for wrong arguments and
 * for a cluster of somebody's own that is not to be broken now.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import type { Arena } from './cluster/index.js'
import { type Cluster, groupName, HostsCluster, type HostsFile, OwnCluster, readHosts, standing } from './cluster/index.js'
import { chooseFaults, type Fault, faults } from './faults/index.js'
import { completed, type JudgeOptions, judgeRun, type RunRecord, type Verdict } from './judges/index.js'
import { type Kept, readRun, writeRun } from './kept.js'
import { type IndexRow, indexOf, pageOf, verdictOf } from './report/html.js'
import { planOf, play } from './runner.js'
import { chooseWorkloads, defaultWorkloads, hostsWorkloads, type Workload, workloads } from './workloads/index.js'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

const usage = `npm run chaos -- [options]           plays runs against a cluster of its own, and judges them
npm run chaos -- check FOLDER…       judges kept runs again
npm run chaos -- list                workloads and faults

  --minutes N        clients and faults for so long (1); --seconds N for less
  --runs N           so many runs, each with the next seed (1)
  --seed N           the schedule follows from it (drawn, and printed)
  --workload A,B     ${defaultWorkloads.join(',')} unless given; "all"
  --nemesis A,B      names or families of faults, "mixed" (all, unless given), "none"
  --nodes N          3, 5 or 7
  --arena WHERE      loopback (no root needed) or namespaces (root)
  --wires HOW        filter (cuts and losses; root) or relay (delays too; what there is without root)
  --links N          links over which the nodes hear each other: 1 (unless given) or 2 (root, with the filter)
  --lossy-link N     percent of the packets that the second link loses all the time
  --profile P        normal (unless given), fast or slow
  --lanes N          faults side by side (2 with "mixed", else 1)
  --rest A-B         seconds between two faults of a lane (3-9)
  --from FOLDER      nodes begin with the program of this checkout, compiled, of an earlier version (root); with the fault
                       "upgrade" they come to this one’s
  --hosts FILE       a cluster of your own, as the file says (docs/chaos.md): nothing is raised; without --nodes, --arena, --wires,
                     --links, --lossy-link, --profile and --from. --workload: ${hostsWorkloads.join(',')}
  --confirm NAME     the name of that cluster; without it you are asked
  --unwell N         minutes without being well, after which nothing more is broken in it (2)
  --out FOLDER       where runs are kept (.chaos)
  --dry              prints the schedule and does nothing`

export interface Asked {
  readonly seconds: number
  readonly runs: number
  readonly seed: number
  readonly workloads: readonly Workload[]
  readonly faults: readonly Fault[]
  readonly nemesis: string
  readonly nodes: number
  readonly arena: Arena
  readonly wires: 'filter' | 'relay'
  readonly links?: number
  /** Percent. */
  readonly lossyLink?: number
  readonly profile: 'fast' | 'normal' | 'slow'
  readonly lanes: number
  readonly rest: readonly [number, number]
  readonly out: string
  readonly dry: boolean
  /** A cluster of somebody's own. */
  readonly hosts?: {
    readonly path: string
    readonly file: HostsFile
    readonly confirm: string | undefined
    readonly unwellMax: number
  }
  /** A checkout whose program the nodes begin with. */
  readonly from?: string
  /** For planted bugs: another program. */
  readonly main?: string
  readonly settings?: Readonly<Record<string, unknown>>
  /** Within which all is well after the last fault, in milliseconds. */
  readonly wellBound?: number
}

const takeoverBound = 12_000
const wellBoundUsual = 90_000

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  if (command === 'list') return list()
  if (command === 'check') return check(rest)
  const asked = parse(args)
  if (typeof asked === 'string') {
    process.stderr.write(`${asked}\n\n${usage}\n`)
    return 64
  }
  if (args.includes('--help') || args.includes('-h')) {
    process.stdout.write(`${usage}\n`)
    return 0
  }
  if (asked.dry) {
    for (const planned of planOf(toOptions(asked))) say(JSON.stringify(planned))
    return 0
  }
  endStanding(['uncaughtException'])
  const ending = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ending.abort())
  let worst = 0
  for (let run = 0; run < asked.runs && !ending.signal.aborted; run++) {
    let done: Awaited<ReturnType<typeof runOnce>>
    try {
      done = await runOnce({ ...asked, seed: asked.seed + run }, say, ending.signal)
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      process.stderr.write(`refused: ${error.message}\n`)
      return 64
    }
    const { verdicts, folder } = done
    print(verdicts)
    say(`report: ${join(folder, 'report.html')}`)
    worst = Math.max(worst, { valid: 0, unknown: 0.5, invalid: 1 }[verdictOf(verdicts)])
  }
  return worst === 1 ? 1 : worst === 0.5 ? 2 : 0
}

/** A mistake of the harness, or a signal, must not leave nodes behind. */
export function endStanding(events: readonly string[] = ['uncaughtException', 'SIGINT', 'SIGTERM']): void {
  for (const event of events)
    process.once(event, (reason: unknown) => {
      process.stderr.write(`${reason instanceof Error ? reason.stack : reason}\n`)
      void Promise.all([...standing].map((cluster) => cluster.close())).finally(() => process.exit(70))
    })
}

/** Nothing was broken, for the reason given. */
class Refusal extends Error {}

const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** Plays, judges, keeps and reports one run. */
export async function runOnce(
  asked: Asked,
  tell: (text: string) => void,
  signal?: AbortSignal,
): Promise<{ readonly verdicts: readonly Verdict[]; readonly record: RunRecord; readonly folder: string }> {
  const began = new Date()
  // Before a folder is made: what is refused leaves none.
  const held = asked.hosts === undefined ? undefined : await holdHosts(asked, asked.hosts, began)
  const name = `${began.toISOString().slice(0, 19).replaceAll(':', '')}-seed-${asked.seed}`
  const folder = join(asked.out, name)
  mkdirSync(folder, { recursive: true })
  tell(
    `seed ${asked.seed}: ${asked.workloads.map((workload) => workload.name).join(',')} under ${asked.nemesis}, ${namesOf(asked).length} nodes, ${asked.seconds} s`,
  )
  const options = toOptions(asked)
  const hold = held === undefined ? options.hold : async () => held
  const record = await play({ ...options, hold, keep: join(folder, 'nodes'), say: tell, ...(signal === undefined ? {} : { signal }) })
  const kept: Kept = {
    began: began.toISOString(),
    command: commandOf(asked),
    nodes: namesOf(asked).length,
    ...(asked.hosts === undefined ? {} : { names: namesOf(asked), group: asked.hosts.file.group ?? '' }),
    seconds: asked.seconds,
    seed: asked.seed,
    workloads: asked.workloads.map((workload) => workload.name),
  }
  writeRun(folder, kept, record, asked.workloads)
  const verdicts = judgeRun(record, judgeOptions(asked.workloads, kept.group, asked.wellBound))
  report(folder, kept, record, verdicts)
  return { verdicts, record, folder }
}

function toOptions(asked: Asked) {
  const {
    seed,
    seconds,
    nodes,
    arena,
    wires,
    links = 1,
    lossyLink,
    profile,
    workloads: chosen,
    faults: wanted,
    lanes,
    rest,
    main: program,
    from,
    settings,
    wellBound = wellBoundUsual,
  } = asked
  return {
    seed,
    duration: seconds * 1_000,
    nodes: namesOf(asked),
    hold: (tell: (text: string) => void): Promise<Cluster> => {
      tell(`raising ${nodes} nodes (${arena}) …`)
      return OwnCluster.raise({
        arena,
        nodes,
        profile,
        wires,
        links,
        ...(lossyLink === undefined ? {} : { lossyLink }),
        say: tell,
        ...(program === undefined ? {} : { main: program }),
        ...(from === undefined ? {} : { from }),
        ...(settings === undefined ? {} : { settings }),
      })
    },
    workloads: chosen,
    faults: wanted,
    lanes,
    rest,
    wellBound,
    ...(asked.hosts === undefined ? {} : { unwellMax: asked.hosts.unwellMax }),
  }
}

function namesOf({ hosts, nodes }: Asked): readonly string[] {
  return hosts?.file.nodes.map(({ name }) => name) ?? Array.from({ length: nodes }, (_, at) => `n${at + 1}`)
}

/** Takes hold of a cluster of somebody's own, if it is the one that is meant. */
async function holdHosts(asked: Asked, { file, confirm }: NonNullable<Asked['hosts']>, began: Date): Promise<Cluster> {
  try {
    return await HostsCluster.open(file, `chaos-${asked.seed}-${began.getTime().toString(36)}`, async (name) => {
      const typed = confirm ?? (process.stdin.isTTY ? await typedName(name) : undefined)
      if (typed === undefined) return `this breaks the cluster ${name} on purpose: --confirm ${name}`
      return typed === name ? undefined : `the cluster is ${name}, not ${typed}: --confirm ${name}, where that is the one you mean`
    })
  } catch (error) {
    throw new Refusal((error as Error).message)
  }
}

async function typedName(name: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return (await terminal.question(`This breaks the cluster ${name} on purpose. Its name, to go on: `)).trim()
  } finally {
    terminal.close()
  }
}

function judgeOptions(chosen: readonly Workload[], group = groupName, wellBound = wellBoundUsual): JudgeOptions {
  return { workloads: chosen, group, takeoverBound, wellBound, limit: 60 }
}

function commandOf(asked: Asked): string {
  const { hosts, seconds, seed, workloads: chosen, nemesis, nodes, arena, wires, links = 1, lossyLink, profile, lanes, rest } = asked
  const names = chosen.map(({ name }) => name).join(',')
  const storm = `--seconds ${seconds} --seed ${seed} --workload ${names} --nemesis ${nemesis}`
  const pace = `--lanes ${lanes} --rest ${rest.map((ms) => ms / 1_000).join('-')}`
  const second = `${links === 1 ? '' : ` --links ${links}`}${lossyLink === undefined ? '' : ` --lossy-link ${lossyLink}`}`
  if (hosts !== undefined) return `npm run chaos -- --hosts ${hosts.path} ${storm} ${pace}`
  return `npm run chaos -- ${storm} --nodes ${nodes} --arena ${arena} --wires ${wires}${second} --profile ${profile} ${pace}`
}

function report(folder: string, kept: Kept, record: RunRecord, verdicts: readonly Verdict[]): void {
  writeFileSync(
    join(folder, 'results.json'),
    `${JSON.stringify({ ...kept, verdict: verdictOf(verdicts), figures: figuresOf(record, verdicts), verdicts }, undefined, 1)}\n`,
  )
  const nodes = kept.names ?? Array.from({ length: kept.nodes }, (_, at) => `n${at + 1}`)
  const facts = {
    began: kept.began,
    'double starts': String(figuresOf(record, verdicts).doubles),
    operations: String(figuresOf(record, verdicts).operations),
    faults: String(record.bands.length),
  }
  writeFileSync(
    join(folder, 'report.html'),
    pageOf({ title: `Chaos run, seed ${kept.seed}`, command: kept.command, facts, nodes, record, verdicts }),
  )
  writeIndex(dirname(folder))
}

function figuresOf(record: RunRecord, verdicts: readonly Verdict[]) {
  const figure = (judge: string, name: string): number => verdicts.find((verdict) => verdict.judge === judge)?.figures?.[name] ?? 0
  const byKind: Record<string, number> = {}
  for (const { fault } of record.bands) byKind[fault] = (byKind[fault] ?? 0) + 1
  return {
    operations: completed(record.events).length,
    faults: record.bands.length,
    faultsByKind: byKind,
    takeovers: figure('takeovers', 'takeovers'),
    longestGapMs: figure('gaps', 'longestMs'),
    doubles: figure('one-owner', 'doubles') + figure('one-owner', 'refusedByLock'),
  }
}

function writeIndex(out: string): void {
  const rows = readdirSync(out).flatMap((name): readonly IndexRow[] => {
    const path = join(out, name, 'results.json')
    if (!existsSync(path)) return []
    const { began, command, seconds, verdict, figures } = JSON.parse(readFileSync(path, 'utf8'))
    return [{ name, began, what: command.replace('npm run chaos -- ', ''), minutes: Math.round(seconds / 6) / 10, verdict, ...figures }]
  })
  writeFileSync(join(out, 'index.html'), indexOf(rows))
}

function print(verdicts: readonly Verdict[]): void {
  for (const { judge, workload = '', valid, text } of verdicts) {
    const word = valid === true ? 'valid  ' : valid === false ? 'INVALID' : 'unknown'
    say(`${word}  ${workload.padEnd(12)} ${judge.padEnd(20)} ${text}`)
  }
}

function check(folders: readonly string[]): number {
  let worst = 0
  for (const folder of folders) {
    const { kept, record } = readRun(folder)
    const chosen = chooseWorkloads(kept.workloads)
    if (typeof chosen === 'string') throw new Error(`${folder}: there is no workload "${chosen}"`)
    const verdicts = judgeRun(record, judgeOptions(chosen, kept.group))
    report(resolve(folder), kept, record, verdicts)
    say(folder)
    print(verdicts)
    worst = Math.max(worst, { valid: 0, unknown: 0.5, invalid: 1 }[verdictOf(verdicts)])
  }
  return worst === 1 ? 1 : worst === 0.5 ? 2 : 0
}

function list(): number {
  say('workloads')
  for (const { name, does } of workloads) say(`  ${name.padEnd(18)} ${does}`)
  say('\nfaults (family: name)')
  for (const { name, family, does } of faults) say(`  ${family.padEnd(8)} ${name.padEnd(18)} ${does}`)
  return 0
}

/** A text says what is wrong with the arguments. */
export function parse(args: readonly string[]): Asked | string {
  try {
    const text = { type: 'string' } as const
    const { values } = parseArgs({
      args: [...args],
      options: {
        minutes: text,
        seconds: text,
        runs: text,
        seed: text,
        workload: text,
        nemesis: text,
        nodes: text,
        arena: text,
        wires: text,
        links: text,
        'lossy-link': text,
        profile: text,
        lanes: text,
        rest: text,
        out: text,
        from: text,
        hosts: text,
        confirm: text,
        unwell: text,
        dry: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    const number = (
      name: 'minutes' | 'seconds' | 'runs' | 'seed' | 'nodes' | 'links' | 'lossy-link' | 'lanes' | 'unwell',
      fallback: number,
      least: number,
    ): number => {
      const value = Number(values[name] ?? fallback)
      if (!Number.isFinite(value) || value < least) throw new Error(`--${name} is a number from ${least} up, not ${values[name]}`)
      return value
    }
    const oneOf = <Word extends string>(name: 'arena' | 'wires' | 'profile', words: readonly Word[]): Word => {
      const value = (values[name] ?? words[0]) as Word
      if (!words.includes(value)) throw new Error(`--${name} is one of ${words.join(', ')}, not ${value}`)
      return value
    }
    const isOfHosts = values.hosts !== undefined
    const foreign = (['nodes', 'arena', 'wires', 'links', 'lossy-link', 'profile', 'from'] as const).find(
      (name) => isOfHosts && values[name] !== undefined,
    )
    if (foreign !== undefined) return `--${foreign} is for clusters that are raised, not for those of --hosts`
    const own = (['confirm', 'unwell'] as const).find((name) => !isOfHosts && values[name] !== undefined)
    if (own !== undefined) return `--${own} goes with --hosts`
    const words = (values.workload ?? (isOfHosts ? hostsWorkloads : defaultWorkloads).join()).split(',')
    const chosen = chooseWorkloads(words, isOfHosts)
    if (typeof chosen === 'string') return `there is no workload "${chosen}"; "list" shows them`
    const nemesis = values.nemesis ?? 'mixed'
    const wanted = chooseFaults(nemesis.split(','))
    if (typeof wanted === 'string') return `there is no fault "${wanted}"; "list" shows them`
    const nodes = number('nodes', 3, 3)
    if (![3, 5, 7].includes(nodes)) return `--nodes is 3, 5 or 7, not ${values.nodes}`
    const links = number('links', values['lossy-link'] === undefined ? 1 : 2, 1)
    if (links > 2) return `--links is 1 or 2, not ${values.links}`
    if (links > 1 && (process.getuid?.() !== 0 || values.wires === 'relay')) return 'two links need root, and --wires filter'
    if (links === 1 && values['lossy-link'] !== undefined) return '--lossy-link goes with two links'
    const rest = /^([\d.]+)-([\d.]+)$/.exec(values.rest ?? '3-9')
    if (rest === null) return `--rest is two numbers of seconds, such as 3-9, not ${values.rest}`
    const arena = oneOf('arena', ['loopback', 'namespaces'])
    if (arena === 'namespaces' && process.getuid?.() !== 0) return '--arena namespaces needs root'
    if (values.from !== undefined && !existsSync(join(values.from, 'dist/src/main.js')))
      return `--from is a compiled checkout: ${values.from} has no dist/src/main.js`
    if (values.from !== undefined && process.getuid?.() !== 0) return '--from needs root'
    return {
      seconds: values.seconds === undefined ? number('minutes', 1, 0.1) * 60 : number('seconds', 60, 5),
      runs: number('runs', 1, 1),
      seed: number('seed', Math.floor(Math.random() * 1_000_000), 0),
      workloads: chosen,
      faults: wanted,
      nemesis,
      nodes,
      arena,
      wires: oneOf('wires', ['filter', 'relay']),
      links,
      ...(values['lossy-link'] === undefined ? {} : { lossyLink: number('lossy-link', 20, 1) }),
      profile: oneOf('profile', ['normal', 'fast', 'slow']),
      lanes: number('lanes', nemesis.split(',').includes('mixed') && !isOfHosts ? 2 : 1, 1),
      rest: [Number(rest[1]) * 1_000, Number(rest[2]) * 1_000],
      out: resolve(values.out ?? join(root, '.chaos')),
      dry: values.dry === true,
      ...(values.from === undefined ? {} : { from: resolve(values.from) }),
      ...(values.hosts === undefined
        ? {}
        : {
            hosts: {
              path: values.hosts,
              file: readHosts(values.hosts),
              confirm: values.confirm,
              unwellMax: number('unwell', 2, 0.1) * 60_000,
            },
          }),
    }
  } catch (error) {
    return (error as Error).message
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main(process.argv.slice(2))
