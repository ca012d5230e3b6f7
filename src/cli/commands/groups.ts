/** Groups, their resources, and the operations on them. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import { exitCodes } from '../exit.js'
import { type Body, readInput, type Session, segment } from '../session.js'
import { pairs, table } from '../table.js'
import { operationsText, operationText } from './operations.js'
import { addResourceCommands } from './resources.js'
import { freezeText, groupsText, placeText } from './status.js'

const path = (name: string, verb = ''): string => `/v1/groups/${segment(name)}${verb === '' ? '' : `/${verb}`}`

export interface FreezeOptions {
  readonly for: string
  readonly reason: string
  readonly owner?: string
  readonly pauseProbes?: boolean
}

export function freezeBody({ for: span, reason, owner, pauseProbes }: FreezeOptions): Record<string, unknown> {
  return {
    for: span,
    reason,
    ...(owner === undefined ? {} : { owner }),
    ...(pauseProbes === true ? { probes: 'pause' } : {}),
  }
}

export function addGroupCommands(program: Command, run: Run): void {
  const group = program.command('group').description('failover groups')
  group
    .command('list', { isDefault: true })
    .description('all groups')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/groups' }, ({ groups }) => groupsText(groups))))
  group
    .command('show <group>')
    .description('one group')
    .action(run((session, name: string) => session.show({ method: 'GET', path: path(name) }, groupText)))
  group
    .command('put <group>')
    .description('create it, or replace its definition')
    .requiredOption('-f, --file <file>', 'the definition, JSON or YAML; - reads standard input')
    .option('--dry-run', 'only say what would be done')
    .option('--no-validate', 'do not ask the agents of its nodes whether they could run so')
    .action(
      run((session, name: string, { file, dryRun, validate }: { file: string; dryRun?: boolean; validate: boolean }) => {
        const query = { dryRun: dryRun === true ? 'true' : undefined, validate: validate ? undefined : 'false' }
        return session.show({ method: 'PUT', path: path(name), query, raw: readInput(file) }, changedText)
      }),
    )
  group
    .command('patch <group>')
    .description('change its definition by a merge patch')
    .requiredOption('-f, --file <file>', 'the patch, JSON or YAML; - reads standard input')
    .option('--no-validate', 'do not ask the agents of its nodes whether they could run so')
    .action(
      run((session, name: string, { file, validate }: { file: string; validate: boolean }) =>
        session.show(
          { method: 'PATCH', path: path(name), query: { validate: validate ? undefined : 'false' }, raw: readInput(file) },
          changedText,
        ),
      ),
    )
  const long = (verb: string, what: string): void => {
    group
      .command(`${verb} <group>`)
      .description(what)
      .action(
        run((session, name: string) => {
          const [method, place] = verb === 'delete' ? ['DELETE', path(name)] : ['POST', path(name, verb)]
          return session.show({ method: method as string, path: place as string, query: { wait: session.options.wait } }, operationText)
        }),
      )
  }
  long('delete', 'stop it everywhere, then forget it')
  long('online', 'it is to run')
  long('offline', 'it is to stop and stay so')
  long('restart', 'stop and start it where it is')
  group
    .command('move <group>')
    .description('run it on another node')
    .requiredOption('--to <node>', 'the node')
    .action(
      run((session, name: string, { to }: { to: string }) =>
        session.show({ method: 'POST', path: path(name, 'move'), query: { wait: session.options.wait }, body: { to } }, operationText),
      ),
    )
  group
    .command('freeze <group>')
    .description('do nothing about it on its own for a while')
    .requiredOption('--for <duration>', 'how long, such as 1h')
    .requiredOption('--reason <text>', 'why')
    .option('--owner <name>', 'who answers for it; as whoever asks is known unless given')
    .option('--pause-probes', 'probe nothing meanwhile')
    .action(
      run((session, name: string, options: FreezeOptions) =>
        session.show({ method: 'POST', path: path(name, 'freeze'), body: freezeBody(options) }, groupText),
      ),
    )
  for (const [verb, what] of [
    ['unfreeze', 'look at it anew, and look after it again'],
    ['clear', 'forget its failures and bans, and that it rests for them'],
  ] as const)
    group
      .command(`${verb} <group>`)
      .description(what)
      .action(run((session, name: string) => session.show({ method: 'POST', path: path(name, verb) }, groupText)))
  group
    .command('wait <group>')
    .description('wait until it has a state')
    .option('--until <state>', 'the state', 'ONLINE')
    .action(run(awaitState))
  group
    .command('log <resource>')
    .description('what a resource wrote last, written group/resource')
    .option('--lines <count>', 'how many lines')
    .option('--node <node>', 'on which node')
    .action(
      run((session, name: string, { lines, node }: { lines?: string; node?: string }) => {
        const [owner = '', resource = ''] = name.split('/')
        return session.show({ method: 'GET', path: path(owner, `resources/${segment(resource)}/log`), query: { lines, node } }, logText)
      }),
    )
  addResourceCommands(program, run)
  addOperations(program, run)
}

async function awaitState(session: Session, name: string, { until }: { until: string }): Promise<void> {
  let state: unknown
  await session.show({ method: 'GET', path: path(name), query: { until, wait: session.options.wait ?? '60s' } }, (body) => {
    state = body.state
    return `${name} is ${body.state}${body.waitingFor === null ? '' : `: ${body.waitingFor}`}`
  })
  if (state !== undefined && state !== until) session.exitCode = exitCodes.stillGoing
}

function addOperations(program: Command, run: Run): void {
  const operation = program.command('operation').description('long work')
  operation
    .command('list', { isDefault: true })
    .action(run((session) => session.show({ method: 'GET', path: '/v1/operations' }, ({ operations }) => operationsText(operations))))
  operation
    .command('show <operation>')
    .action(
      run((session, id: string) =>
        session.show({ method: 'GET', path: `/v1/operations/${segment(id)}`, query: { wait: session.options.wait } }, operationText),
      ),
    )
  operation
    .command('cancel <operation>')
    .action(
      run((session, id: string) =>
        session.show({ method: 'DELETE', path: `/v1/operations/${segment(id)}` }, ({ undone }) => `cancelled: ${undone}`, 'cancelled'),
      ),
    )
}

/** One that runs on several nodes: its parts have names of their own. */
function scalableText(body: Body): string {
  const parts = table(
    ['PART', 'STATE', 'ON', 'SINCE', 'SCORE', 'WAITING FOR'],
    body.parts.map((part: Body) => [
      part.name,
      part.state,
      part.holders[0]?.node,
      part.holders[0]?.since,
      part.scores === undefined ? undefined : Object.values(part.scores).join(' '),
      part.waitingFor,
    ]),
  )
  const head = pairs([
    ['name', body.name],
    ['state', body.state],
    ['intent', body.intent],
    ['on', placeText(body)],
    ['wanted', `${body.desired} of ${body.definition.nodes.join(' ')}`],
    ['priority', body.definition.priority],
    ...(body.frozen === null ? [] : ([['frozen', freezeText(body.frozen)]] as const)),
    ['revision', body.revision],
  ])
  return `${head}\n\n${parts}`
}

function groupText(body: Body): string {
  if (body.mode === 'scalable') return scalableText(body)
  const [holder] = body.holders
  const resources = table(
    ['RESOURCE', 'TYPE', 'STATE', 'DETAIL'],
    Object.entries(body.resources).map(([name, one]: [string, Body]) => [name, one.type, one.state, one.detail]),
  )
  const head = pairs([
    ['name', body.name],
    ['state', body.state],
    ['intent', body.intent],
    ['on', holder === undefined ? null : `${holder.node} since ${holder.since} (token ${holder.token})`],
    ['nodes', body.definition.nodes.join(' ')],
    ['priority', body.definition.priority],
    ['waiting for', body.waitingFor],
    ...(body.frozen === null ? [] : ([['frozen', freezeText(body.frozen)]] as const)),
    ...(body.maintenance === null ? [] : ([[`${body.maintenance.node} maintained`, freezeText(body.maintenance)]] as const)),
    ...(body.move === null ? [] : ([['moving to', body.move.to]] as const)),
    ...(body.poison === null
      ? []
      : ([
          ['losses', body.poison.losses.map((one: Body) => `${one.node} ${one.afterStart} (${one.case ?? 'no case'})`).join(', ')],
        ] as const)),
    ...Object.entries(body.bans).map(([node, ban]: [string, Body]) => [`not on ${node}`, `${ban.reason} (${ban.remaining} left)`] as const),
    ['revision', body.revision],
  ])
  return `${head}\n\n${resources}`
}

function changedText(body: Body): string {
  if (body.dryRun === true) return planText(body)
  return [...warningLines(body), body.unchanged === true ? `${body.name} is unchanged` : groupText(body)].join('\n')
}

export function warningLines(body: Body): readonly string[] {
  return (body.warnings ?? []).map((text: string) => `warning: ${text}`)
}

/** What a dry run or a plan would do. */
export function planText(body: Body): string {
  const changes = (body.changes ?? []).map((one: Body) => `${one.change} ${one.what} ${one.name}`)
  const steps = body.plan.map((step: Body) => `  ${step.action}: ${step.text} (rule ${step.rule})`)
  return [
    ...warningLines(body),
    ...changes,
    ...(changes.length === 0 ? (body.events ?? []) : []),
    ...(steps.length === 0 ? ['nothing would be moved'] : ['then:', ...steps]),
  ].join('\n')
}

function logText({ lines, actions }: Body): string {
  return [...lines, ...(actions.length === 0 ? [] : ['stops and bad probes:', ...actions])].join('\n')
}
