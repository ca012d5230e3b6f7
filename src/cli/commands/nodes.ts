/** Nodes, links, the lead. */
import type { Command } from 'commander'
import { ClusterError } from '../../base/index.js'
import type { Run } from '../cli.js'
import { type Body, readInput, segment } from '../session.js'
import { pairs, table } from '../table.js'
import { type FreezeOptions, freezeBody } from './groups.js'
import { operationText } from './operations.js'
import { freezeText, nodesText } from './status.js'

export function addNodeCommands(program: Command, run: Run): void {
  const node = program.command('node').description('nodes of the cluster')
  const path = (name: string, verb = ''): string => `/v1/nodes/${segment(name)}${verb === '' ? '' : `/${verb}`}`
  node
    .command('list', { isDefault: true })
    .description('all nodes')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/nodes' }, ({ nodes }) => nodesText(nodes))))
  node
    .command('show <node>')
    .description('one node')
    .action(run((session, name: string) => session.show({ method: 'GET', path: path(name) }, nodeText)))
  for (const [verb, what] of [
    ['standby', 'move its groups away; it hosts nothing until it is activated'],
    ['drain', 'as standby, shown as draining until its groups have left'],
  ] as const) {
    node
      .command(`${verb} <node>`)
      .description(what)
      .action(
        run((session, name: string) =>
          session.show({ method: 'POST', path: path(name, verb), query: { wait: session.options.wait } }, operationText),
        ),
      )
  }
  node
    .command('activate <node>')
    .description('let it host groups again')
    .action(run((session, name: string) => session.show({ method: 'POST', path: path(name, 'activate') }, nodeText)))
  node
    .command('clear <node>')
    .description('forget failures, bans and losses on it, trust its fence device again, end its quarantine')
    .option('--reason <text>', 'why; needed to end a quarantine')
    .action(
      run((session, name: string, { reason }: { reason?: string }) =>
        session.show({ method: 'POST', path: path(name, 'clear'), body: reason === undefined ? {} : { reason } }, nodeText),
      ),
    )
  node
    .command('maintenance <node>')
    .description('do nothing about it and what it holds on its own for a while')
    .option('--for <duration>', 'how long, such as 30m')
    .option('--reason <text>', 'why')
    .option('--owner <name>', 'who answers for it; as whoever asks is known unless given')
    .option('--pause-probes', 'probe nothing meanwhile')
    .option('--detached', 'suspend its guardian too: what runs there goes on without a lease')
    .option('--end', 'it ends now: all is looked at anew, and looked after again')
    .action(
      run((session, name: string, { end, detached, ...options }: Partial<FreezeOptions> & { end?: boolean; detached?: boolean }) => {
        const { for: span, reason } = options
        if (end !== true && (span === undefined || reason === undefined))
          throw new ClusterError('INVALID', 'maintenance has an end and a reason', { fix: 'give --for and --reason, or --end' })
        const freeze = () => freezeBody({ ...options, for: span ?? '', reason: reason ?? '' })
        const body = end === true ? { end: true } : { ...freeze(), ...(detached === true ? { detached } : {}) }
        return session.show({ method: 'POST', path: path(name, 'maintenance'), body }, nodeText)
      }),
    )
  node
    .command('fence <node>')
    .description('cut it off by its fence devices')
    .requiredOption('--confirm <node>', 'its name again')
    .requiredOption('--reason <text>', 'why')
    .action(
      run((session, name: string, { confirm, reason }: { confirm: string; reason: string }) =>
        session.show(
          { method: 'POST', path: path(name, 'fence'), query: { wait: session.options.wait }, body: { node: confirm, reason } },
          operationText,
        ),
      ),
    )
  node
    .command('leave <node>')
    .description('its groups leave it and its software stops; no case is opened. Started again, it comes back')
    .option('--reason <text>', 'why', 'asked for on the command line')
    .option('--anyway', 'also where the voters left would be no quorum')
    .action(
      run((session, name: string, { reason, anyway }: { reason: string; anyway?: boolean }) =>
        session.show(
          { method: 'POST', path: path(name, 'leave'), query: { wait: session.options.wait }, body: { reason, anyway: anyway === true } },
          operationText,
        ),
      ),
    )
  program
    .command('cluster-stop')
    .description('stops every group, then the software of every node; started again, everything runs as before')
    .requiredOption('--confirm <cluster>', 'the name of the cluster')
    .option('--reason <text>', 'why', 'asked for on the command line')
    .action(
      run((session, { confirm, reason }: { confirm: string; reason: string }) =>
        session.show(
          { method: 'POST', path: '/v1/cluster/stop', query: { wait: session.options.wait }, body: { cluster: confirm, reason } },
          operationText,
        ),
      ),
    )
  node
    .command('fencing <node>')
    .description('its fence devices, and who can reach them')
    .option('--test', 'every other node reads their status now; nothing is switched')
    .action(
      run((session, name: string, { test }: { test?: boolean }) =>
        session.show(
          test === true ? { method: 'POST', path: path(name, 'fencing/test') } : { method: 'GET', path: path(name, 'fencing') },
          pathsText,
        ),
      ),
    )
  node
    .command('set <node>')
    .description('change fencing or attributes by a JSON or YAML merge patch')
    .requiredOption('-f, --file <file>', 'the patch; - reads standard input')
    .action(
      run((session, name: string, { file }: { file: string }) =>
        session.show({ method: 'PATCH', path: path(name), raw: readInput(file) }, nodeText),
      ),
    )
  program
    .command('links')
    .description('who hears whom')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/links' }, linksText)))
  program
    .command('lead <node>')
    .description('hand the lead to a node')
    .action(
      run((session, to: string) =>
        session.show({ method: 'POST', path: '/v1/leader/transfer', query: { wait: session.options.wait }, body: { to } }, (body) =>
          body.leader === to ? `${to} leads` : `asked ${body.from} to hand the lead to ${to}`,
        ),
      ),
    )
}

function nodeText(body: Body): string {
  const fencing = body.fencing.levels.map((level: readonly Body[]) => level.map((device) => device.agent).join(' + ')).join(', then ')
  return pairs([
    ['name', body.name],
    ['state', body.state],
    ['duty', body.duty],
    ...(body.maintenance === null ? [] : ([['maintenance', freezeText(body.maintenance)]] as const)),
    ...(body.quarantine === null ? [] : ([['quarantine', `for another ${body.quarantine.remaining}: ${body.quarantine.reason}`]] as const)),
    ...(body.evicted === null
      ? []
      : ([['evicted', `${body.evicted.ago} ago, for ${body.evicted.group}: ${body.evicted.reason}`]] as const)),
    ...(body.jeopardy.length === 0 ? [] : ([['jeopardy', body.jeopardy.join('; ')]] as const)),
    ['boot', body.boot],
    ['lease', `${body.leaseRemainingMs} ms left`],
    ['guarded', body.guarded],
    ['groups', body.groups.join(' ')],
    ['fencing', fencing === '' ? 'none: if it is lost, its groups wait for a person' : `${fencing}, then ${body.fencing.then}`],
    ['device distrusted', body.deviceDistrusted],
    ['case', body.case],
    [
      'attributes',
      Object.entries(body.attributes)
        .map(([name, value]) => `${name}=${value}`)
        .join(' '),
    ],
    ['revision', body.revision],
  ])
}

function pathsText(body: Body): string {
  if (body.levels.length === 0) return `${body.node} has no fence device: if it is lost, its groups wait for a person`
  const rows = body.paths.map((one: Body) => [
    one.from,
    one.level === null ? '' : `${one.level}.${one.device}`,
    one.agent ?? '',
    one.state,
    one.readAgoMs === null ? '' : `${Math.round(one.readAgoMs / 1_000)} s ago`,
    one.detail,
  ])
  const distrusted = body.deviceDistrusted === null ? '' : `\nnot believed: ${body.deviceDistrusted}`
  return `${table(['FROM', 'LEVEL', 'AGENT', 'STATE', 'READ', 'SAID'], rows)}${distrusted}`.trim()
}

function linksText(body: Body): string {
  const rows = body.links.map((one: Body) => [
    one.from,
    one.to,
    one.stage,
    `${one.silenceMs} ms`,
    one.links.map((link: Body) => `link ${link.link}: ${link.isDown === true ? 'down for ' : ''}${link.silenceMs} ms`).join(', '),
  ])
  const silent = body.noAnswer.length === 0 ? '' : `\nno answer from ${body.noAnswer.join(', ')}`
  return `${table(['NODE', 'HEARS', 'STAGE', 'SILENT FOR', 'LINKS'], rows)}${silent}`.trim()
}
