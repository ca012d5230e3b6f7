/** `quorate agent init` and `quorate agent test`: for those who write agents. Needs no cluster, and touches none. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { ClusterError, isName, parseDuration } from '../base/index.js'
import { type ParameterValue, type ResourceDefinition, resourceDefaults } from '../core/cluster/index.js'
import { checkResourceParameters, parseOcfType } from '../core/monitor/index.js'
import { agentTemplates } from '../io/agents/index.js'
import { openBench } from './bench.js'
import { type CheckResult, checkAgent } from './checks.js'

export interface Terminal {
  out(text: string): void
  error(text: string): void
}

const processTerminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
}

const exit = { done: 0, refused: 1, failed: 2, usage: 64 } as const

interface TestOptions {
  readonly timeout: number
  readonly startTimeout?: number
  readonly stopTimeout?: number
  readonly deep?: boolean
  readonly keep?: boolean
  readonly name: string
  readonly output: 'table' | 'json'
}

interface InitOptions {
  readonly kind: 'ocf' | 'command'
  readonly provider: string
  readonly folder: string
}

/** `argv` begins after `agent`. Resolves with the exit code: 0 all is well, 2 a check failed, 64 usage. */
export async function runAgentKit(argv: readonly string[], terminal: Terminal = processTerminal): Promise<number> {
  let code: number = exit.done
  const program = new Command('quorate agent')
  program
    .description('for those who write resource agents: begin one, and try one')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.error(text) })
  program
    .command('init <name>')
    .description('write the beginning of an agent')
    .addOption(new Option('--kind <kind>', 'an OCF agent, or a program for type command').choices(['ocf', 'command']).default('ocf'))
    .option('--provider <name>', 'provider of the OCF agent: it goes to /usr/lib/ocf/resource.d/<provider>/', 'local')
    .option('--folder <folder>', 'where to write it', '.')
    .action((name: string, options: InitOptions) => init(name, options, terminal))
  program
    .command('test <type> [parameters...]')
    .description('try an agent here: parameters are name=value, values may be JSON. It really starts and stops it, several times')
    .option('--timeout <duration>', 'for each action', duration, resourceDefaults.probe.timeout)
    .option('--start-timeout <duration>', 'for starts', duration)
    .option('--stop-timeout <duration>', 'for stops', duration)
    .option('--deep', 'its second depth of probes too')
    .option('--name <name>', 'name of the resource', 'test')
    .option('--keep', 'leave the folder with what it wrote')
    .addOption(new Option('-o, --output <form>', 'lines for people, or json').choices(['table', 'json']).default('table'))
    .action(async (type: string, parameters: readonly string[], options: TestOptions) => {
      code = await tryAgent(type, parameters, options, terminal)
    })
  try {
    await program.parseAsync(argv, { from: 'user' })
    return code
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exit.done : exit.usage
    if (!(error instanceof ClusterError)) throw error
    terminal.error(`quorate: ${error.code}: ${error.message}\n${error.fix === undefined ? '' : `  next: ${error.fix}\n`}`)
    return exit.refused
  }
}

/** Errors: INVALID_NAME, CONFLICT. */
function init(name: string, { kind, provider, folder }: InitOptions, terminal: Terminal): void {
  if (!/^[A-Za-z]\w*$/.test(name))
    throw new ClusterError('INVALID_NAME', `"${name.slice(0, 80)}" cannot name an agent`, { fix: 'use letters, digits and underscores' })
  const path = resolve(folder, name)
  if (existsSync(path)) throw new ClusterError('CONFLICT', `${path} is there already`, { fix: 'take another name or --folder' })
  const template = readFileSync(join(agentTemplates, kind === 'ocf' ? 'ocf-agent' : 'command-agent'), 'utf8')
  const text = template.replaceAll('@NAME@', name).replaceAll('@PROVIDER@', provider).replaceAll('@PATH@', path)
  mkdirSync(resolve(folder), { recursive: true })
  writeFileSync(path, text, { mode: 0o755 })
  const next =
    kind === 'ocf'
      ? `install it as /usr/lib/ocf/resource.d/${provider}/${name} on every node, then: quorate agent test ocf:${provider}:${name}`
      : 'its first lines say how to use and to try it'
  terminal.out(`${path}\nnext: ${next}\n`)
}

/** Errors: INVALID, INVALID_NAME, UNKNOWN_TYPE, INVALID_DEFINITION. */
async function tryAgent(type: string, given: readonly string[], options: TestOptions, terminal: Terminal): Promise<number> {
  if (!isName(options.name))
    throw new ClusterError('INVALID_NAME', `"${options.name.slice(0, 80)}" cannot name a resource`, {
      fix: 'use letters, digits, dots and dashes',
    })
  const definition = definitionOf(type, given, options)
  const [wrong] = checkResourceParameters(type, definition.parameters)
  if (wrong !== undefined)
    throw new ClusterError(
      wrong.parameter === 'type' ? 'UNKNOWN_TYPE' : 'INVALID_DEFINITION',
      wrong.detail,
      wrong.fix === undefined ? {} : { fix: wrong.fix },
    )
  const bench = await openBench(definition, options.name)
  const forPeople = options.output === 'table'
  let results: readonly CheckResult[]
  try {
    if (forPeople) terminal.out(`${type} on this machine, its processes held by ${bench.containment}\n`)
    results = await checkAgent(bench, definition, (result) => {
      if (forPeople) terminal.out(`${line(result)}\n`)
    })
  } finally {
    await bench.close(options.keep === true)
  }
  const failed = results.filter(({ outcome }) => outcome === 'failed').length
  const doubtful = results.filter(({ outcome }) => outcome === 'unwise').length
  if (forPeople) {
    const kept = options.keep === true ? `; ${bench.folder} is kept` : ''
    terminal.out(
      `${failed === 0 ? 'all is well' : `${failed} failed`}${doubtful === 0 ? '' : `, ${doubtful} unwise`}, ${results.length} checks${kept}\n`,
    )
  } else
    terminal.out(
      `${JSON.stringify({ type, parameters: definition.parameters, containment: bench.containment, checks: results }, null, 1)}\n`,
    )
  return failed === 0 ? exit.done : exit.failed
}

function definitionOf(
  type: string,
  given: readonly string[],
  { timeout, startTimeout, stopTimeout, deep }: TestOptions,
): ResourceDefinition {
  const parameters = Object.fromEntries(
    given.map((one) => {
      const at = one.indexOf('=')
      if (at < 1) throw new ClusterError('INVALID', `"${one.slice(0, 80)}" is no parameter`, { fix: 'write name=value' })
      return [one.slice(0, at), parameterOf(type, one.slice(at + 1))]
    }),
  )
  const ocf = parseOcfType(type) !== undefined
  return {
    type,
    parameters,
    dependsOn: [],
    probe: { interval: resourceDefaults.probe.interval, timeout },
    ...(deep === true && (ocf || parameters.probeDeep !== undefined) ? { probeDeep: { interval: 60_000, timeout } } : {}),
    start: { timeout: startTimeout ?? Math.max(timeout, resourceDefaults.start.timeout) },
    stop: { timeout: stopTimeout ?? Math.max(timeout, resourceDefaults.stop.timeout) },
    restart: resourceDefaults.restart,
  }
}

/** Agents take texts; lists, maps and numbers are of the built-in types. */
function parameterOf(type: string, text: string): ParameterValue {
  if (type.startsWith('ocf:')) return text
  try {
    return JSON.parse(text) as ParameterValue
  } catch {
    return text
  }
}

const marks = { ok: 'ok     ', failed: 'FAILED ', unwise: 'unwise ', skipped: '-      ' } as const

function line({ check, outcome, detail, ms }: CheckResult): string {
  return `${marks[outcome]} ${check}${detail === '' ? '' : `: ${detail.replaceAll(/\s*\n\s*/g, ' | ')}`} (${ms} ms)`
}

function duration(text: string): number {
  try {
    return parseDuration(text)
  } catch {
    throw new InvalidArgumentError('write a duration such as 30s.')
  }
}
