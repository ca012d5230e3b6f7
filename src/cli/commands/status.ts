/** What people look at first. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import { exitCodes } from '../exit.js'
import { type Body, type Session, segment } from '../session.js'
import { pairs, table } from '../table.js'

export function addStatusCommands(program: Command, run: Run): void {
  program
    .command('status')
    .description('the cluster on one page')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/status' }, statusText)))
  program
    .command('attention')
    .description('what needs a person, with the next step')
    .action(
      run((session) =>
        session.show({ method: 'GET', path: '/v1/attention' }, ({ attention }) => attentionText(attention) || 'Nothing needs you.'),
      ),
    )
  program
    .command('protection')
    .description('what would happen if a node were lost now')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/protection' }, protectionText)))
  program.command('doctor').description('checks the node that is asked, and what it sees').action(run(doctor))
  program
    .command('why <group>')
    .description('why a group is where it is')
    .action(run((session, group: string) => session.show({ method: 'GET', path: `/v1/groups/${segment(group)}/why` }, whyText)))
  program
    .command('why-not <group> <node>')
    .description('why a group is not on a node')
    .action(
      run((session, group: string, node: string) =>
        session.show({ method: 'GET', path: `/v1/groups/${segment(group)}/why-not`, query: { node } }, ({ text }) => text),
      ),
    )
}

export function statusText(body: Body): string {
  if (body.formed === false)
    return pairs([
      ['cluster', body.name],
      ['formed', false],
      ['waiting for', body.waitingFor],
    ])
  const head = pairs([
    ['cluster', body.name],
    ['leader', body.leader === null ? 'none' : `${body.leader}, term ${body.term}`],
    ['quorate', body.quorate],
    ...(body.quorate ? [] : ([['as of', `${body.asOf}, lease ${body.leaseRemainingMs} ms`]] as const)),
    ...(body.insecure ? ([['insecure', 'TCP without keys']] as const) : []),
  ])
  const frozen = (body.frozen ?? []).map(
    (one: Body) => `* ${one.node === undefined ? `${one.group} is frozen` : `${one.node} is in maintenance`} ${freezeText(one)}`,
  )
  const attention = attentionText(body.attention)
  return [head, frozen.join('\n'), nodesText(body.nodes), groupsText(body.groups), attention === '' ? '' : `Needs a person:\n${attention}`]
    .filter((part) => part !== '')
    .join('\n\n')
}

/** Who keeps the cluster away from it, and how long still. */
export function freezeText({ owner, reason, remaining, probes, detached }: Body): string {
  const how = [...(probes === 'pause' ? ['not probed'] : []), ...(detached === true ? ['without its guardian'] : [])]
  return `by ${owner} for another ${remaining}: ${reason}${how.length === 0 ? '' : ` (${how.join(', ')})`}`
}

export function nodesText(nodes: readonly Body[]): string {
  return table(
    ['NODE', 'STATE', 'DUTY', 'LEASE', 'GUARDED', 'GROUPS'],
    nodes.map((node) => [node.name, node.state, node.duty, node.leaseOk, node.guarded, node.groups.join(' ')]),
  )
}

export function groupsText(groups: readonly Body[]): string {
  return table(
    ['GROUP', 'STATE', 'INTENT', 'ON', 'SINCE', 'WAITING FOR'],
    groups.map((group) => [
      group.name,
      group.state,
      group.intent,
      placeText(group),
      (group.primary ?? group.holders[0])?.since,
      group.waitingFor,
    ]),
  )
}

/** Who has the primary role comes first. */
export function placeText({ holders, primary }: Body): string {
  const nodes: readonly string[] = holders.map(({ node }: Body) => node)
  const first = primary?.node
  return first === undefined ? nodes.join(' ') : [`${first} (primary)`, ...nodes.filter((node) => node !== first)].join(' ')
}

function attentionText(items: readonly Body[]): string {
  return items.map((item) => `! ${item.text}\n    next: ${item.fix}`).join('\n')
}

function protectionText(body: Body): string {
  const nodes = table(
    ['NODE', 'PROTECTION', 'GUARDED', 'WATCHDOG', 'FENCING', 'MEANING'],
    body.nodes.map((one: Body) => [one.node, one.protection, one.guarded, one.watchdog, one.fencingLevels.flat().join(' '), one.text]),
  )
  const groups = table(
    ['GROUP', 'ON', 'PROTECTED', 'MEANING'],
    body.groups.map((one: Body) => [one.group, one.holder, one.protected, one.text]),
  )
  return [nodes, groups].filter((part) => part !== '').join('\n\n')
}

function whyText(body: Body): string {
  const candidates = table(
    ['NODE', 'ELIGIBLE', 'RULE', 'SEEN'],
    body.candidates.map((one: Body) => [one.node, one.eligible, one.rule, one.seen]),
  )
  const decided = body.lastDecision === null ? '' : `Last decision, ${body.lastDecision.time}: ${body.lastDecision.text}`
  const next = body.next === null ? '' : `Next: ${body.next.text}`
  return [body.text, decided, next, candidates].filter((part) => part !== '').join('\n')
}

/** One line a check; the worst of them is the exit code. */
async function doctor(session: Session): Promise<void> {
  const live = await session.ask({ method: 'GET', path: '/livez' })
  const ready = await session.ask({ method: 'GET', path: '/readyz' })
  const attention = await session.ask({ method: 'GET', path: '/v1/attention' })
  if (live === undefined || ready === undefined || attention === undefined) return
  const items = (attention.body?.attention ?? []) as readonly Body[]
  const checks: readonly (readonly [boolean, string, (string | undefined)?])[] = [
    [live.status === 200, 'the daemon answers'],
    [ready.status === 200, 'the cluster has formed and has a leader', ready.body?.detail as string | undefined],
    ...((ready.body?.missing ?? []) as readonly string[]).map(
      (name) => [false, `the ${name} of this node does not answer`, 'look at its log'] as const,
    ),
    ...items.map((item) => [false, `${item.code} ${item.subject}`, `${item.text}; next: ${item.fix}`] as const),
  ]
  session.exitCode = ready.status === 200 ? exitCodes.done : exitCodes.unavailable
  if (session.options.output === 'json')
    return session.print(
      JSON.stringify(
        checks.map(([ok, check, detail]) => ({ ok, check, detail })),
        undefined,
        2,
      ),
    )
  session.print(
    checks.map(([ok, check, detail]) => `${ok ? 'ok ' : '!  '} ${check}${detail === undefined ? '' : `: ${detail}`}`).join('\n'),
  )
}
