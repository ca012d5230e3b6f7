/** Members of the consensus: who votes, who joins, who leaves, who leads. */
import { createHash, randomBytes } from 'node:crypto'
import { ClusterError, type MemberId, type NodeId, nearestName, nodeId, parseDuration } from '../../base/index.js'
import { currentBoot, type MemberRow, metaOf, nodesOf, rowsOfMembers } from '../../core/cluster/index.js'
import type { QuorateNode } from '../../node/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, change, changeQuery, operationQuery } from '../cluster/changing.js'
import { read, readQuery } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { inviteSchema, transferSchema } from '../schemas/index.js'

const invitationTime = 3_600_000
const waitQuery = { ...changeQuery, wait: operationQuery.wait as never }

export function memberRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/members',
      tag: 'members',
      summary: 'Who belongs to the consensus. A member is one life of a data folder: a node whose disk was lost joins as a new one.',
      query: readQuery,
      answers: { 200: 'What each is, what is wanted of it, and how far it has come.' },
      handle: async (call) => {
        const view = await read(access, call)
        const seen = await askLeader(view.node)
        const members = rowsOfMembers(view.state).map((row) => presentMember(view.node, row, seen))
        const waitingFor = seen?.refusal == null || members.every((one) => one.settled) ? null : refusalText(seen.refusal)
        return { body: { ...view.age, members, changing: view.node.consensus.isChanging, waitingFor } }
      },
    },
    {
      method: 'POST',
      path: '/v1/members',
      tag: 'members',
      summary: 'Invites a node: answers with a word that lets it join once, under this name, within an hour.',
      query: changeQuery,
      body: inviteSchema,
      answers: { 201: 'The invitation. It is shown this one time; what is kept is a checksum.' },
      handle: (call) => invite(access, call),
    },
    {
      method: 'DELETE',
      path: '/v1/members/:member',
      tag: 'members',
      summary: 'Takes a member out. Its node leaves the cluster with its last member, and only when it can run nothing any more.',
      query: waitQuery,
      answers: { 200: 'It is out.', 202: 'It is being taken out.' },
      handle: (call) => want(access, call, 'gone'),
    },
    {
      method: 'POST',
      path: '/v1/members/:member/promote',
      tag: 'members',
      summary: 'Gives a learner a vote, once it has caught up.',
      query: waitQuery,
      answers: { 200: 'It votes.', 202: 'It will vote when it has caught up.' },
      handle: (call) => want(access, call, 'voter'),
    },
    {
      method: 'POST',
      path: '/v1/leader/transfer',
      tag: 'members',
      summary: 'Hands the lead to another node. With `wait` it answers when that is done.',
      query: { timeout: operationQuery.timeout as never, wait: operationQuery.wait as never },
      body: transferSchema,
      answers: { 200: 'It leads.', 202: 'It was asked for.' },
      handle: (call) => transfer(access, call),
    },
  ]
}

/** What only the leader knows. */
interface LeaderSees {
  readonly lags: { readonly [member: string]: number }
  readonly refusal: { readonly member: MemberId; readonly reason: string } | null
}

async function askLeader(node: QuorateNode): Promise<LeaderSees | undefined> {
  const { leader } = node.status
  if (leader === undefined) return undefined
  try {
    return (await node.ask(leader, { kind: 'consensus' }, 1_000)) as LeaderSees
  } catch {
    return undefined
  }
}

function presentMember(node: QuorateNode, row: MemberRow, seen?: LeaderSees) {
  const { configuration } = node.consensus
  const { voters, learners, outgoing } = configuration
  const role = voters.includes(row.member)
    ? 'voter'
    : outgoing.includes(row.member)
      ? 'leaving'
      : learners.includes(row.member)
        ? 'learner'
        : row.wanted === 'gone'
          ? 'gone'
          : 'joining'
  return {
    member: row.member,
    node: row.node,
    role,
    wanted: row.wanted,
    settled: role === row.wanted,
    leads: row.node === node.status.leader && role !== 'gone' && role !== 'joining',
    address: `${row.address.host}:${row.address.port}`,
    // Of its node's latest boot; the cluster has the lowest of all.
    level: currentBoot(node.state, row.node)?.level ?? null,
    lag: seen?.lags[row.member] ?? null,
  }
}

const reasons: Readonly<Record<string, string>> = {
  'member-lags': 'it has not caught up, or is not heard',
  'would-lose-quorum': 'too few of the voters that would be left are heard now',
  'change-under-way': 'another change is under way',
  'not-established': 'the leader is new',
  transferring: 'the lead is being handed over',
}

function refusalText({ member, reason }: { readonly member: MemberId; readonly reason: string }): string {
  return `${member}: ${reasons[reason] ?? reason}`
}

async function invite(access: Access, call: Call): Promise<Answer> {
  const { node: name, role = 'voter', for: span } = call.body as { node: string; role?: 'voter' | 'learner'; for?: string | number }
  const node = nodeId(name)
  const forMs = span === undefined ? invitationTime : parseDuration(span)
  const word = randomBytes(24).toString('base64url')
  const checksum = createHash('sha256').update(word).digest('hex')
  return carryOut(access, call, { kind: 'invite', node, role, checksum, forMs, by: 'api' }, () => {
    const { state } = access.node
    const members = Object.fromEntries(rowsOfMembers(state).map((row) => [row.node, `${row.address.host}:${row.address.port}`]))
    const cluster = metaOf(state).clusterName
    const invitation = Buffer.from(JSON.stringify({ cluster, node, members, word })).toString('base64url')
    return {
      status: 201,
      body: { node, role, invitation, fix: `on ${node}: quorate join ${invitation} --link ADDRESS:PORT --secret FILE` },
    }
  })
}

async function want(access: Access, call: Call, wanted: 'voter' | 'gone'): Promise<Answer> {
  const member = (call.params.member ?? '') as MemberId
  const { node } = access
  if (call.query.flag('dryRun') === true) return carryOut(access, call, { kind: 'want-member', member, wanted }, () => ({ body: {} }))
  await change(access, call, { kind: 'want-member', member, wanted })
  const row = (): MemberRow | undefined => node.state.get('members', member)
  const isDone = (): boolean => {
    const { configuration, isChanging } = node.consensus
    if (isChanging) return false
    return wanted === 'gone' ? row() === undefined : configuration.voters.includes(member)
  }
  await access.waits.until(isDone, call.query.number('wait') ?? 0, call.signal)
  call.index = node.state.appliedIndex
  const now = row()
  const seen = await askLeader(node)
  return { status: isDone() ? 200 : 202, body: now === undefined ? { member, role: 'gone', wanted } : presentMember(node, now, seen) }
}

async function transfer(access: Access, call: Call): Promise<Answer> {
  const { to } = call.body as { readonly to: NodeId }
  const { state, node } = await read(access, call)
  if (state.get('nodes', to) === undefined) {
    const names = nodesOf(state).map((row) => row.name)
    const nearest = nearestName(to, names)
    throw new ClusterError('UNKNOWN_NODE', `the cluster has no node "${to.slice(0, 80)}"`, {
      fix: nearest === undefined ? `its nodes are ${names.join(', ')}` : `did you mean "${nearest}"?`,
    })
  }
  const from = node.status.leader
  if (from === undefined) throw new ClusterError('NO_LEADER', 'there is nobody to hand the lead over', { fix: 'wait for an election' })
  const leads = (): boolean => node.status.leader === to
  if (!leads()) {
    await node.ask(from, { kind: 'transfer-lead', to })
    await access.waits.until(leads, call.query.number('wait') ?? 0, call.signal)
  }
  call.index = node.state.appliedIndex
  return { status: leads() ? 200 : 202, body: { from, to, leader: node.status.leader ?? null, term: node.status.term } }
}
