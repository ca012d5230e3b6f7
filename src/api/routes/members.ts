/** Members of the consensus, who leads them, and who hears whom. */
import { ClusterError, type NodeId, nearestName } from '../../base/index.js'
import { nodesOf } from '../../core/cluster/index.js'
import type { DetectorReport } from '../../core/detector/index.js'
import type { QuorateNode } from '../../node/index.js'
import type { Access } from '../cluster/access.js'
import { operationQuery } from '../cluster/changing.js'
import { read, readQuery } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { transferSchema } from '../schemas/index.js'
import { nodeOf } from './nodes.js'

const askTimeout = 1_000

export function memberRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/members',
      tag: 'members',
      summary: 'The voters of the consensus.',
      query: readQuery,
      answers: { 200: 'Each with its member id, which names one life of a data folder.' },
      handle: async (call) => {
        const view = await read(access, call)
        const { leader } = view.node.status
        const members = nodesOf(view.state).map((row) => ({
          member: row.member,
          node: row.name,
          role: 'voter',
          leads: row.name === leader,
        }))
        return { body: { ...view.age, members } }
      },
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
    {
      method: 'GET',
      path: '/v1/links',
      tag: 'nodes',
      summary: 'Who hears whom, as each node says. No quorum needed.',
      answers: { 200: 'One entry per direction; nodes that did not answer are named.' },
      handle: async () => {
        const { heard, silent } = await hearing(access)
        return { body: { links: heard, noAnswer: silent } }
      },
    },
    {
      method: 'GET',
      path: '/v1/nodes/:node/detector',
      tag: 'nodes',
      summary: 'How the others hear this node, and it them. No quorum needed.',
      answers: { 200: 'Stages and silences per link.' },
      handle: async (call) => {
        const { name } = nodeOf(access.node.state, call.params.node ?? '')
        const { heard, silent } = await hearing(access)
        return {
          body: {
            node: name,
            heardBy: heard.filter((one) => one.to === name),
            hears: heard.filter((one) => one.from === name),
            noAnswer: silent,
          },
        }
      },
    },
  ]
}

interface Hearing {
  readonly from: NodeId
  readonly to: NodeId
  readonly stage: string
  readonly silenceMs: number
  readonly missed: number
  readonly links: DetectorReport['links']
}

async function hearing(access: Access): Promise<{ readonly heard: readonly Hearing[]; readonly silent: readonly NodeId[] }> {
  const { node } = access
  const names = nodesOf(node.state).map((row) => row.name)
  const answers = await Promise.all(names.map((from) => detectorOf(node, from)))
  const heard = names.flatMap((from, at) =>
    (answers[at] ?? []).map(({ node: to, stage, silenceMs, missed, links }) => ({ from, to, stage, silenceMs, missed, links })),
  )
  return { heard, silent: names.filter((_, at) => answers[at] === undefined) }
}

async function detectorOf(node: QuorateNode, name: NodeId): Promise<readonly DetectorReport[] | undefined> {
  try {
    return (await node.ask(name, { kind: 'detector' }, askTimeout)) as readonly DetectorReport[]
  } catch {
    return undefined
  }
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
