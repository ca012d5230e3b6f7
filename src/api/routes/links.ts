/** Who hears whom. */
import type { NodeId } from '../../base/index.js'
import { nodesOf } from '../../core/cluster/index.js'
import type { DetectorReport } from '../../core/detector/index.js'
import type { QuorateNode } from '../../node/index.js'
import type { Access } from '../cluster/access.js'
import type { Route } from '../http/route.js'
import { nodeOf } from './nodes.js'

const askTimeout = 1_000

export function linkRoutes(access: Access): readonly Route[] {
  return [
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
        const { name, jeopardy } = nodeOf(access.node.state, call.params.node ?? '')
        const { heard, silent } = await hearing(access)
        return {
          body: {
            node: name,
            jeopardy: jeopardy?.reasons ?? [],
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
  /** Undefined from a node of an earlier version. */
  readonly oneLink?: boolean
}

async function hearing(access: Access): Promise<{ readonly heard: readonly Hearing[]; readonly silent: readonly NodeId[] }> {
  const { node } = access
  const names = nodesOf(node.state).map((row) => row.name)
  const answers = await Promise.all(names.map((from) => detectorOf(node, from)))
  const heard = names.flatMap((from, at) =>
    (answers[at] ?? []).map(({ node: to, stage, silenceMs, missed, links, oneLink }) => ({
      from,
      to,
      stage,
      silenceMs,
      missed,
      links,
      oneLink,
    })),
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
