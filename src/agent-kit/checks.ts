/**
 * Whether an agent keeps what the monitor relies on: starts and stops that may be repeated, probes that tell the truth, exit
 * statuses that mean what they say, and a stop that cleans up whatever was killed in the middle.
 */
import type { ResourceDefinition } from '../core/cluster/index.js'
import {
  behaviourOf,
  checkOcfParameters,
  type MethodResult,
  type OcfMetadata,
  ocfAgentPath,
  ocfMeaning,
  parseOcfMetadata,
} from '../core/monitor/index.js'
import { isOcfInstalled } from '../io/agents/index.js'
import { type ActionOutcome, pause } from '../io/processes/index.js'
import type { Bench } from './bench.js'

export interface CheckResult {
  readonly check: string
  readonly outcome: 'ok' | 'failed' | 'unwise' | 'skipped'
  readonly detail: string
  readonly ms: number
}

type Finding = Pick<CheckResult, 'outcome' | 'detail'>

interface Check {
  readonly name: string
  readonly run: () => Promise<Finding>
}

const good = (detail = ''): Finding => ({ outcome: 'ok', detail })
const bad = (detail: string): Finding => ({ outcome: 'failed', detail })
const unwise = (detail: string): Finding => ({ outcome: 'unwise', detail })
const skipped = (detail: string): Finding => ({ outcome: 'skipped', detail })

/** After a kill in the middle of a very fast action nothing would be left to kill: it is tried at these parts of its time. */
const interruptions = [0.2, 0.6]

/** How long what is dead may be taken for alive. Milliseconds. */
const reapedAfter = 5_000
const betweenLooks = 250
/** How long a helper of a start may stay. Milliseconds. */
const helpersMax = 3_000

/** All checks in order; `told` hears each as it ends. After one without which the rest means nothing, the rest is left out. */
export async function checkAgent(
  bench: Bench,
  definition: ResourceDefinition,
  told: (result: CheckResult) => void,
): Promise<readonly CheckResult[]> {
  const results: CheckResult[] = []
  for (const { checks, vital } of plan(bench, definition)) {
    for (const { name, run } of checks) {
      const began = performance.now()
      const finding = await run()
      const result = { check: name, ...finding, ms: Math.round(performance.now() - began) }
      results.push(result)
      told(result)
    }
    if (vital && results.some(({ outcome }) => outcome === 'failed')) break
  }
  return results
}

function plan(bench: Bench, definition: ResourceDefinition): readonly { readonly checks: readonly Check[]; readonly vital: boolean }[] {
  const { type } = definition
  const path = ocfAgentPath(type)
  const of = new Methods(bench, definition)
  return [
    ...(path === undefined ? [] : [{ checks: describing(bench, definition, path), vital: true }]),
    { checks: beginning(of), vital: true },
    { checks: repeating(of), vital: false },
    { checks: ending(of), vital: true },
    { checks: surviving(of), vital: false },
    { checks: interrupted(of), vital: false },
  ]
}

/** Runs methods and remembers how long they took. */
class Methods {
  readonly bench: Bench
  readonly definition: ResourceDefinition
  startMs = 0
  stopMs = 0

  constructor(bench: Bench, definition: ResourceDefinition) {
    this.bench = bench
    this.definition = definition
  }

  /** Nothing of it could ever be stopped: an address that is always there, a check. */
  get holdsNothing(): boolean {
    return behaviourOf(this.definition).holdsNothing
  }

  async start(): Promise<MethodResult> {
    const began = performance.now()
    const result = await this.bench.run('start')
    this.startMs = performance.now() - began
    return result
  }

  async stop(): Promise<MethodResult> {
    const began = performance.now()
    const result = await this.bench.run('stop')
    this.stopMs = performance.now() - began
    return result
  }

  probe(): Promise<MethodResult> {
    return this.bench.run('probe')
  }

  async expect(wanted: 'running' | 'stopped', when: string): Promise<Finding> {
    const result = await this.probe()
    return result.outcome === wanted ? good() : bad(`${when} its probe should say ${wanted}, and ${said(result)}`)
  }
}

function describing(bench: Bench, definition: ResourceDefinition, path: string): readonly Check[] {
  let metadata: OcfMetadata | undefined
  const required = () => metadata?.parameters.filter(({ required: is, fallback = '' }) => is && fallback === '') ?? []
  return [
    { name: 'installed', run: () => Promise.resolve(isOcfInstalled(definition.type) ? good(path) : bad(`there is no ${path}`)) },
    {
      name: 'metadata',
      run: async () => {
        const outcome = await bench.call(path, 'meta-data')
        if (outcome.kind !== 'exited' || outcome.code !== 0) return bad(`meta-data ${how(outcome)}`)
        metadata = parseOcfMetadata(outcome.stdout)
        if (metadata === undefined) return bad('what it prints is no well-formed <resource-agent> document')
        const names = metadata.actions.map(({ name }) => name)
        const missing = ['start', 'stop', 'monitor', 'meta-data'].filter((name) => !names.includes(name))
        if (missing.length > 0) return bad(`it does not list the action ${missing.join(', ')}`)
        const untimed = metadata.actions.filter(({ timeout }) => timeout === undefined).map(({ name }) => name)
        if (untimed.length > 0) return unwise(`no timeout is given for ${untimed.join(', ')}`)
        if (!names.includes('validate-all')) return unwise('it does not list validate-all')
        return good(`OCF ${metadata.version}, ${metadata.parameters.length} parameters, ${names.length} actions`)
      },
    },
    {
      name: 'parameters',
      run: () => {
        const problems = metadata === undefined ? [] : checkOcfParameters(metadata, definition.parameters)
        return Promise.resolve(problems.length === 0 ? good() : bad(problems.map(({ detail }) => detail).join('; ')))
      },
    },
    {
      name: 'unknown action',
      run: async () => {
        const outcome = await bench.call(path, 'no-such-action')
        return outcome.code === 3 ? good('3') : unwise(`it should answer 3 (${ocfMeaning(3)}) and ${how(outcome)}`)
      },
    },
    {
      name: 'validate-all',
      run: async () => {
        if (metadata?.actions.some(({ name }) => name === 'validate-all') !== true) return skipped('it has none')
        const outcome = await bench.call(path, 'validate-all')
        return outcome.code === 0 ? good() : bad(`with these parameters it should answer 0 and ${how(outcome)}`)
      },
    },
    {
      name: 'validate-all without a parameter that is required',
      run: async () => {
        const [first] = required()
        if (first === undefined) return skipped('no parameter is required')
        if (metadata?.actions.some(({ name }) => name === 'validate-all') !== true) return skipped('it has no validate-all')
        const { [first.name]: _left, ...others } = definition.parameters
        const outcome = await bench.call(path, 'validate-all', others)
        if (outcome.code === 2 || outcome.code === 5 || outcome.code === 6) return good(`${first.name}: ${outcome.code}`)
        return unwise(`without ${first.name} it should answer 6 (${ocfMeaning(6)}) and ${how(outcome)}`)
      },
    },
  ]
}

function beginning(of: Methods): readonly Check[] {
  return [
    {
      name: 'first look',
      run: async () => {
        if (of.holdsNothing) return skipped('it is always there')
        const result = await of.bench.run('probe', { token: 0 })
        if (result.outcome === 'stopped' && result.unable === true) return bad(`it could not run here: ${result.note}`)
        return result.outcome === 'stopped' ? good() : bad(`before its start it should be stopped, and ${said(result)}`)
      },
    },
    { name: 'stop while stopped', run: async () => finding(await of.stop(), 'done', 'a stop of what does not run should succeed') },
    { name: 'start', run: async () => finding(await of.start(), 'done', 'it should start') },
    { name: 'probe while running', run: () => of.expect('running', 'after its start') },
  ]
}

function repeating(of: Methods): readonly Check[] {
  const { bench, definition } = of
  return [
    {
      name: 'start while running',
      run: async () => {
        if (behaviourOf(definition).kept) return skipped('its process is kept by the monitor, which starts it once')
        const before = bench.cell.pids('service').length
        const result = await bench.run('start')
        if (result.outcome !== 'done') return bad(`a start of what runs should succeed and change nothing, and ${said(result)}`)
        const probed = await of.expect('running', 'after a second start')
        const after = bench.cell.pids('service').length
        if (probed.outcome !== 'ok') return probed
        return after > before && before > 0 ? unwise(`it had ${before} processes, and has ${after} after a second start`) : good()
      },
    },
    {
      name: 'probe again',
      run: async () => {
        for (let time = 0; time < 3; time++) {
          const found = await of.expect('running', 'asked again')
          if (found.outcome !== 'ok') return found
        }
        return good('three times the same')
      },
    },
    {
      name: 'deep probe',
      run: async () => {
        if (definition.probeDeep === undefined) return skipped('none is asked for: --deep')
        const result = await bench.run('probe', { deep: true })
        return result.outcome === 'running' ? good() : bad(`its deep probe ${said(result)}`)
      },
    },
  ]
}

function ending(of: Methods): readonly Check[] {
  return [
    { name: 'stop', run: async () => finding(await of.stop(), 'done', 'it should stop') },
    {
      name: 'probe while stopped',
      run: () => (of.holdsNothing ? Promise.resolve(skipped('it is always there')) : of.expect('stopped', 'after its stop')),
    },
    {
      name: 'nothing is left running',
      run: async () => {
        for (let look = 0; look < 20 && !of.bench.cell.empty(); look++) await pause(50)
        const left = of.bench.cell.pids('service').length
        return left === 0 ? good() : unwise(`${left} processes of it were left, and had to be killed`)
      },
    },
    { name: 'stop again', run: async () => finding(await of.stop(), 'done', 'a repeated stop should succeed') },
  ]
}

function surviving(of: Methods): readonly Check[] {
  const { bench } = of
  return [
    { name: 'start after a stop', run: async () => finding(await of.start(), 'done', 'it should start again') },
    {
      name: 'probe after its processes were killed',
      run: async () => {
        // A start may leave helpers that end by themselves, such as one that announces an address.
        for (let waited = 0; waited < helpersMax && bench.cell.pids('service').length > 0; waited += betweenLooks) await pause(betweenLooks)
        if (bench.cell.pids('service').length === 0) return skipped('it has no processes that stay')
        if (!(await bench.kill())) return bad('its processes could not be killed')
        let result = await of.probe()
        // Until the dead have been reaped, an agent that looks with `kill -0` takes them for alive; the monitor asks again, too.
        for (let time = 0; result.outcome === 'running' && time < reapedAfter; time += betweenLooks) {
          await pause(betweenLooks)
          result = await of.probe()
        }
        if (result.outcome === 'running') return bad('its probe says that it runs, and all its processes are gone')
        return result.outcome === 'timed-out' ? bad(`its probe ${said(result)}`) : good(said(result))
      },
    },
    { name: 'stop after its processes were killed', run: async () => finding(await of.stop(), 'done', 'it should clean up') },
    {
      name: 'probe after that',
      run: () => (of.holdsNothing ? Promise.resolve(skipped('it is always there')) : of.expect('stopped', 'after that stop')),
    },
  ]
}

function interrupted(of: Methods): readonly Check[] {
  if (of.holdsNothing) return []
  const { bench, definition } = of
  const { kept } = behaviourOf(definition)
  const checks = interruptions.flatMap((part) => [
    {
      name: `kill -9 at ${part * 100} % of a start`,
      run: async () => {
        const result = await bench.interrupt('start', of.startMs * part)
        const after = await cleanedUp(of)
        return after ?? good(result.outcome === 'done' ? 'it had started already' : '')
      },
    },
    {
      name: `kill -9 at ${part * 100} % of a stop`,
      run: async () => {
        if (kept) return skipped('a kept process is ended by signals, not by an agent')
        const started = await of.start()
        if (started.outcome !== 'done') return bad(`after what was killed before it should start, and ${said(started)}`)
        const result = await bench.interrupt('stop', of.stopMs * part)
        const after = await cleanedUp(of)
        return after ?? good(result.outcome === 'done' ? 'it had stopped already' : '')
      },
    },
  ])
  return [
    ...checks,
    {
      name: 'start and stop after all that',
      run: async () => {
        const started = finding(await of.start(), 'done', 'it should still start')
        if (started.outcome !== 'ok') return started
        const running = await of.expect('running', 'after that')
        const stopped = finding(await of.stop(), 'done', 'it should still stop')
        if (running.outcome !== 'ok' || stopped.outcome !== 'ok') return running.outcome === 'ok' ? stopped : running
        return of.expect('stopped', 'in the end')
      },
    },
  ]
}

/** What the stop that follows leaves; undefined when that is nothing. */
async function cleanedUp(of: Methods): Promise<Finding | undefined> {
  const stopped = await of.stop()
  if (stopped.outcome !== 'done') return bad(`the stop after it should clean up, and ${said(stopped)}`)
  await of.bench.kill()
  const probed = await of.expect('stopped', 'after the stop that followed')
  return probed.outcome === 'ok' ? undefined : probed
}

function finding(result: MethodResult, wanted: MethodResult['outcome'], what: string): Finding {
  return result.outcome === wanted ? good() : bad(`${what}, and ${said(result)}`)
}

function said(result: MethodResult): string {
  switch (result.outcome) {
    case 'failed':
      return result.detail
    case 'timed-out':
      return `did not end: ${result.detail}`
    case 'refused':
      return `was refused: ${result.detail}`
    default:
      return `it said ${result.outcome}`
  }
}

function how({ kind, code, signal, elapsedMs, stderr }: ActionOutcome): string {
  const words = stderr.trim().slice(-200)
  const text = words === '' ? '' : `: ${words}`
  if (kind === 'timed-out') return `did not end within ${elapsedMs} ms${text}`
  return code === undefined ? `was killed by ${signal}${text}` : `answered ${code} (${ocfMeaning(code)})${text}`
}
