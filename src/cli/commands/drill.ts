/**
 * Fire drills: one real move, or one real power-off, of a cluster that is well; bounded in time, and told as a report.
 *
 * A drill begins only where it should end well: every node here, no case open, nothing that needs a person, and somebody who can
 * take over. What it does is what an operator could do by hand; it waits, and judges what the cluster's own events say.
 */
import { type Command, InvalidArgumentError } from 'commander'
import { ClusterError, parseDuration } from '../../base/index.js'
import type { Run } from '../cli.js'
import { exitCodes } from '../exit.js'
import { type Body, type Session, segment } from '../session.js'
import { table } from '../table.js'

interface DrillOptions {
  readonly within: number
  readonly back?: boolean
  readonly to?: string
  readonly confirm?: string
}

interface Step {
  readonly afterMs: number
  readonly kind: string
  readonly text: string
}

interface Check {
  readonly name: string
  readonly passed: boolean
  readonly seen: string
}

interface Report {
  readonly drill: string
  readonly subject: string
  readonly passed: boolean
  readonly tookMs: number
  readonly checks: readonly Check[]
  readonly steps: readonly Step[]
}

const lookAgain = 200

export function addDrillCommands(program: Command, run: Run): void {
  const drill = program
    .command('drill')
    .description('fire drills on a cluster that is well: one real move or one real power-off, bounded and reported')
  drill
    .command('move <group>')
    .description('move a group to another node and, with --back, back again')
    .option('--to <node>', 'where to; the first other node that can take it unless given')
    .option('--back', 'move it back afterwards')
    .option('--within <duration>', 'it fails when a move takes longer', bound, 60_000)
    .action(run((session, group: string, options: DrillOptions) => report(session, () => moveDrill(session, group, options))))
  drill
    .command('kill <node>')
    .description('have a node switched off by its fence device, wait for its groups elsewhere, and for its return')
    .requiredOption('--confirm <node>', 'its name again')
    .option('--within <duration>', 'it fails when groups are not up elsewhere, or the node is not back, by then', bound, 180_000)
    .action(run((session, node: string, options: DrillOptions) => report(session, () => killDrill(session, node, options))))
}

function bound(value: string): number {
  try {
    return parseDuration(/^\d+$/.test(value) ? Number(value) : value)
  } catch {
    throw new InvalidArgumentError('write a duration such as 60s.')
  }
}

async function report(session: Session, drill: () => Promise<Report | string>): Promise<void> {
  if (session.options.curl === true)
    throw new ClusterError('INVALID', 'a drill is many requests', { fix: 'leave out --curl; docs/chaos.md shows the requests one by one' })
  const result = await drill()
  if (typeof result === 'string') {
    session.exitCode = exitCodes.refused
    return session.print(session.options.output === 'json' ? JSON.stringify({ passed: false, refused: result }) : `no drill: ${result}`)
  }
  session.exitCode = result.passed ? exitCodes.done : exitCodes.failed
  session.print(session.options.output === 'json' ? JSON.stringify(result, undefined, 2) : reportText(result))
}

function reportText({ drill, subject, passed, tookMs, checks, steps }: Report): string {
  const head = `drill ${drill} ${subject}: ${passed ? 'PASSED' : 'FAILED'} after ${tookMs} ms`
  const judged = table(
    ['', 'CHECK', 'SEEN'],
    checks.map((check) => [check.passed ? 'ok' : 'FAILED', check.name, check.seen]),
  )
  const told = table(
    ['AFTER', 'EVENT', 'TEXT'],
    steps.map((step) => [`${step.afterMs} ms`, step.kind, step.text]),
  )
  return [head, judged, told].filter((part) => part !== '').join('\n\n')
}

/** A text says why the drill is not begun. */
async function moveDrill(session: Session, group: string, { to, back = false, within }: DrillOptions): Promise<Report | string> {
  const obstacle = await obstacleTo(session)
  if (obstacle !== undefined) return obstacle
  const before = await get(session, `/v1/groups/${segment(group)}`)
  if (before.code !== undefined) return `${before.detail}`
  const from = before.holders?.[0]?.node as string | undefined
  if (before.state !== 'ONLINE' || from === undefined) return `${group} is ${before.state}`
  const protection = await get(session, '/v1/protection')
  const could = (protection.groups as readonly Body[]).find((one) => one.group === group)?.couldTakeIt ?? []
  const target = to ?? could[0]
  if (target === undefined) return `no other node could take ${group} now`
  if (target === from) return `${group} runs on ${from} already`
  const { since, began } = await mark(session)
  const checks: Check[] = [await move(session, group, target, within)]
  if (back && checks[0]?.passed === true) checks.push(await move(session, group, from, within))
  const events = await eventsSince(session, since, [group])
  checks.push(proofs(events, group))
  return finish('move', group, began, checks, events)
}

async function move(session: Session, group: string, to: string, within: number): Promise<Check> {
  const began = performance.now()
  const name = `${group} runs on ${to} within ${within} ms`
  const asked = await session.ask({ method: 'POST', path: `/v1/groups/${segment(group)}/move`, body: { to } })
  if (asked === undefined || asked.status >= 400) return { name, passed: false, seen: `refused: ${asked?.body?.detail ?? asked?.status}` }
  const operation = String(asked.body?.id ?? '')
  for (;;) {
    const now = await get(session, `/v1/groups/${segment(group)}`)
    const took = Math.round(performance.now() - began)
    if (now.state === 'ONLINE' && now.holders?.[0]?.node === to) return { name, passed: true, seen: `after ${took} ms` }
    if (took > within) {
      await session.ask({ method: 'DELETE', path: `/v1/operations/${segment(operation)}` })
      return { name, passed: false, seen: `it is ${now.state} on ${now.holders?.[0]?.node ?? 'no node'}; the move was cancelled` }
    }
    await pause()
  }
}

/** A text says why the drill is not begun. */
async function killDrill(session: Session, node: string, { confirm, within }: DrillOptions): Promise<Report | string> {
  if (confirm !== node) return `--confirm names ${confirm}, the drill is of ${node}`
  const obstacle = await obstacleTo(session)
  if (obstacle !== undefined) return obstacle
  const before = await get(session, `/v1/nodes/${segment(node)}`)
  if (before.code !== undefined) return `${before.detail}`
  const { answeredBy } = await get(session, '/v1/status')
  if (answeredBy === node) return `it is ${node} itself that answers here: ask another node, by --url`
  const protection = await get(session, '/v1/protection')
  const level = (protection.nodes as readonly Body[]).find((one) => one.node === node)?.protection
  if (level !== 'strong') return `${node} is not strongly protected (${level}): see GET /v1/protection`
  const held = before.groups as readonly string[]
  const stuck = (protection.groups as readonly Body[]).filter((one) => held.includes(one.group) && one.couldTakeIt.length === 0)
  if (stuck.length > 0) return `no other node could take ${stuck.map((one) => one.group).join(', ')}`
  const { members = [] } = await get(session, '/v1/members')
  const voters = (members as readonly Body[]).filter((one) => one.role === 'voter').length
  if (voters < 3) return `with ${voters} voters, nothing would go on without ${node}`

  const { since, began } = await mark(session)
  const fenced = await session.ask({
    method: 'POST',
    path: `/v1/nodes/${segment(node)}/fence`,
    body: { node: confirm, reason: 'a drill' },
  })
  if (fenced === undefined || fenced.status >= 400) return `the power-off was refused: ${fenced?.body?.detail ?? fenced?.status}`
  const checks: Check[] = []
  for (const group of held)
    checks.push(
      await until(`${group} runs elsewhere`, began, within, async () => {
        const now = await get(session, `/v1/groups/${segment(group)}`)
        const holder = now.holders?.[0]?.node
        return { holds: now.state === 'ONLINE' && holder !== undefined && holder !== node, seen: `${now.state} on ${holder ?? 'no node'}` }
      }),
    )
  checks.push(
    await until(`${node} is back with another boot`, began, within, async () => {
      const now = await get(session, `/v1/nodes/${segment(node)}`)
      return { holds: now.state === 'ONLINE' && now.boot !== before.boot, seen: `${now.state}, boot ${now.boot}` }
    }),
    await until('no case is open', began, within, async () => {
      const open = await openCases(session)
      return { holds: open.length === 0, seen: open.length === 0 ? 'none' : open.map((one) => `${one.id} ${one.stage}`).join(', ') }
    }),
  )
  const events = await eventsSince(session, since, [node, ...held])
  for (const group of held) checks.push(proofs(events, group))
  return finish('kill', node, began, checks, events)
}

async function until(
  name: string,
  began: number,
  within: number,
  look: () => Promise<{ readonly holds: boolean; readonly seen: string }>,
): Promise<Check> {
  for (;;) {
    const { holds, seen } = await look()
    const took = Math.round(performance.now() - began)
    if (holds) return { name, passed: true, seen: `after ${took} ms: ${seen}` }
    if (took > within) return { name, passed: false, seen: `not within ${within} ms: ${seen}` }
    await pause()
  }
}

/** Why the cluster is not well enough; undefined when it is. */
async function obstacleTo(session: Session): Promise<string | undefined> {
  const status = await get(session, '/v1/status')
  if (status.quorate !== true) return 'there is no quorum'
  const away = (status.nodes as readonly Body[]).find((one) => one.state !== 'ONLINE')
  if (away !== undefined) return `${away.name} is ${away.state}`
  const [open] = await openCases(session)
  if (open !== undefined) return `case ${open.id} of ${open.node} is ${open.stage}`
  const ill = (status.groups as readonly Body[]).find((one) => one.intent !== 'OFFLINE' && one.state !== 'ONLINE')
  return ill === undefined ? undefined : `${ill.name} is ${ill.state}`
}

async function openCases(session: Session): Promise<readonly Body[]> {
  const { cases = [] } = await get(session, '/v1/cases')
  return (cases as readonly Body[]).filter((one) => one.stage !== 'RECOVERED' && one.stage !== 'CLOSED')
}

async function get(session: Session, path: string): Promise<Body> {
  // A leader may be on its way out just now: asked again, for a while.
  for (let attempt = 0; ; attempt++) {
    const answer = await session.ask({ method: 'GET', path })
    if (answer?.status !== 503 || attempt > 50) return answer?.body ?? {}
    await pause()
  }
}

/** The revision after which the drill's events begin. */
async function mark(session: Session): Promise<{ readonly since: number; readonly began: number }> {
  let last = 0
  await session.lines({ method: 'GET', path: '/v1/events', query: { last: '1', follow: 'false' } }, (line) => {
    last = Number((JSON.parse(line) as Body).revision ?? last)
  })
  return { since: last + 1, began: performance.now() }
}

async function eventsSince(session: Session, since: number, subjects: readonly string[]): Promise<readonly Body[]> {
  const events: Body[] = []
  await session.lines({ method: 'GET', path: '/v1/events', query: { from: String(since), follow: 'false' } }, (line) =>
    events.push(JSON.parse(line)),
  )
  return events.filter((event) => subjects.includes(event.subject))
}

/** Between two grants stands what ended the first one. */
function proofs(events: readonly Body[], group: string): Check {
  const name = `${group} was granted only after its former holder was proved stopped`
  let ended = false
  let grants = 0
  for (const { kind, subject } of events) {
    if (subject !== group) continue
    if (kind === 'group.released' || kind === 'group.proved') ended = true
    if (kind !== 'decision.grant') continue
    grants++
    if (!ended) return { name, passed: false, seen: 'a grant came without a proof before it' }
    ended = false
  }
  return { name, passed: grants > 0, seen: grants === 0 ? 'it was not granted anew' : `${grants} grants` }
}

function finish(drill: string, subject: string, began: number, checks: readonly Check[], events: readonly Body[]): Report {
  const first = Number(events[0]?.at ?? 0)
  const steps = events.map(({ at, kind, text }) => ({ afterMs: Math.round(Number(at) - first), kind: String(kind), text: String(text) }))
  return { drill, subject, passed: checks.every(({ passed }) => passed), tookMs: Math.round(performance.now() - began), checks, steps }
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, lookAgain))
