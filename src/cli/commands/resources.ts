/** Single resources, written group/resource. */
import type { Command } from 'commander'
import { ClusterError } from '../../base/index.js'
import type { Run } from '../cli.js'
import { exitCodes } from '../exit.js'
import { type Body, type Session, segment } from '../session.js'
import { pairs } from '../table.js'
import { operationText } from './operations.js'

/** Errors: INVALID. */
function path(name: string, verb = ''): string {
  const [group = '', resource = '', ...more] = name.split('/')
  if (group === '' || resource === '' || more.length > 0)
    throw new ClusterError('INVALID', `"${name}" names no resource`, { fix: 'write group/resource, such as web/app' })
  return `/v1/groups/${segment(group)}/resources/${segment(resource)}${verb === '' ? '' : `/${verb}`}`
}

export function addResourceCommands(program: Command, run: Run): void {
  const resource = program.command('resource').description('single resources, written group/resource')
  resource
    .command('show <resource>', { isDefault: true })
    .description('one resource')
    .action(run((session, name: string) => session.show({ method: 'GET', path: path(name) }, resourceText)))
  resource
    .command('restart <resource>')
    .description('stop and start it where it runs, with what depends on it as the kinds of dependency say')
    .option('--dependents', 'with everything that depends on it')
    .action(
      run((session, name: string, { dependents }: { dependents?: boolean }) =>
        session.show(
          { method: 'POST', path: path(name, 'restart'), query: { wait: session.options.wait }, body: { dependents: dependents === true } },
          operationText,
        ),
      ),
    )
  resource
    .command('probe <resource>')
    .description('probe it now, where it runs')
    .option('--deep', 'the second depth of checks')
    .action(run(probe))
  resource
    .command('action <resource> <action>')
    .description('run an action of its agent, or one that its definition names')
    .option('--timeout <duration>', 'how long it may take')
    .action(run(act))
}

/** Anything but a good probe is a failure to whoever asks in a script. */
async function probe(session: Session, name: string, { deep }: { deep?: boolean }): Promise<void> {
  let result: string | undefined
  await session.show({ method: 'POST', path: path(name, 'probe'), body: { deep: deep === true } }, (body) => {
    result = body.result
    const detail = body.detail === undefined ? '' : `: ${body.detail}`
    return `${name} on ${body.node}: ${body.result}${detail} (${body.elapsedMs} ms); it is ${body.state}`
  })
  if (result !== undefined && result !== 'running') session.exitCode = exitCodes.failed
}

async function act(session: Session, name: string, action: string, { timeout }: { timeout?: string }): Promise<void> {
  let ended: Body
  const body = timeout === undefined ? {} : { timeout }
  await session.show({ method: 'POST', path: path(name, `actions/${segment(action)}`), body }, (answer) => {
    ended = answer
    const how = answer.outcome === 'exited' ? `exit ${answer.code ?? 'by a signal'}` : answer.outcome
    return [`${action} of ${name} on ${answer.node}: ${how} (${answer.elapsedMs} ms)`, answer.stdout.trimEnd(), answer.stderr.trimEnd()]
      .filter((line) => line !== '')
      .join('\n')
  })
  if (ended !== undefined && ended.code !== 0) session.exitCode = exitCodes.failed
}

function resourceText(body: Body): string {
  const { probe, probeDeep, limits, perNode, operations } = body.definition
  const depths = [probeDeep ?? []].flat() as readonly Body[]
  return pairs([
    ['name', `${body.group}/${body.name}`],
    ['type', body.definition.type],
    ['state', body.state],
    ['detail', body.detail],
    ['on', body.node],
    ['parameters', JSON.stringify(body.definition.parameters)],
    [
      'depends on',
      body.definition.dependsOn.map((one: Body) => (typeof one === 'string' ? one : `${one.resource} (${one.kind})`)).join(' '),
    ],
    ['probe', `every ${probe.interval}, ${probe.timeout} at most${countsText(probe)}`],
    ...depths.map(
      (one) =>
        ['deep probe', `every ${one.interval}, ${one.timeout} at most${one.level === undefined ? '' : `, level ${one.level}`}`] as const,
    ),
    ...(perNode === undefined ? [] : ([['per node', JSON.stringify(perNode)]] as const)),
    ...(operations === 'none' ? ([['operations', 'none: it is only looked at']] as const) : []),
    ...(limits === undefined
      ? []
      : ([
          [
            'limits',
            Object.entries(limits)
              .map(([name, value]) => `${name} ${value}`)
              .join(', '),
          ],
        ] as const)),
    ['restart', `${body.definition.restart.max} times in ${body.definition.restart.window}`],
  ])
}

/** When bad probes are the failure, where that is not the first one. */
function countsText({ failAfter, timeouts }: Body): string {
  const failures = failAfter === undefined ? '' : `; ${failAfter.failures} of ${failAfter.of} that fail are its failure`
  return failures + (timeouts === undefined ? '' : `; ${timeouts} in a row that time out`)
}
