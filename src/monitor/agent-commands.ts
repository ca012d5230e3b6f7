/**
 * Serves the commands that agents call (`agents/commands`): one connection a call, over a socket that only this user may open.
 *
 * What is of this node and boot is answered here; what lasts, or is of the cluster, is asked of the daemon.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import {
  type AgentAnswer,
  type AgentRequest,
  agentExit,
  answerAttribute,
  answerCluster,
  type ClusterAnswer,
  type ClusterQuestion,
  type MonitorOrder,
  needsCluster,
  parseAgentCommand,
  readScore,
  said,
  scoredResource,
} from '../core/monitor/index.js'
import type { Attributes } from './attributes.js'

export interface AgentCommandsWorld {
  readonly path: string
  readonly node: string
  readonly attributes: Attributes
  /** False when no daemon is connected. */
  /** The copy of that group and resource would do so well as the primary; undefined where that was taken back. */
  readonly scored: (group: string, resource: string, score: number | undefined) => void
  readonly ask: (askId: string, question: ClusterQuestion) => boolean
}

export interface AgentCommands {
  answered(order: Extract<MonitorOrder, { kind: 'answered' }>): void
  /** Whoever was asked is gone. */
  disconnected(): void
  close(): Promise<void>
}

const messageMax = 131_072
/** An agent's own time goes on meanwhile. */
const answerMax = 10_000

type Answered = { readonly answer: ClusterAnswer | null; readonly problem?: string }

export async function serveAgentCommands(world: AgentCommandsWorld): Promise<AgentCommands> {
  const waiting = new Map<string, (answered: Answered) => void>()
  const open = new Set<Socket>()
  let asked = 0

  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => open.delete(socket))
    const parts: Buffer[] = []
    let begun = false
    socket.once('end', () => {
      if (!begun) socket.destroy() // It broke off.
    })
    socket.on('data', (part: Buffer) => {
      if (begun) return
      parts.push(part)
      const call = readCall(Buffer.concat(parts))
      if (call === 'incomplete') return
      begun = true
      if (call === undefined) {
        socket.destroy()
        return
      }
      void answer(call).then(({ status, out, error }) => socket.end(`${status} ${Buffer.byteLength(out)}\n${out}${error}`))
    })
  })
  rmSync(world.path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(world.path, () => resolve())
  })
  chmodSync(world.path, 0o600)

  return {
    answered: ({ askId, answer: found, problem }) => waiting.get(askId)?.({ answer: found, ...(problem === undefined ? {} : { problem }) }),
    disconnected: () => {
      for (const tell of [...waiting.values()]) tell({ answer: null, problem: 'the daemon of this node is gone' })
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }

  async function answer({ argv, instance, group }: AgentCall): Promise<AgentAnswer> {
    const request = parseAgentCommand(argv, instance)
    if (request.kind === 'refused') return request.answer
    if (request.kind === 'node-name') return said(`${world.node}\n`)
    if (request.kind === 'attribute' && !needsCluster(request)) return ofThisBoot(request, group)
    const question: ClusterQuestion = request.kind === 'attribute' ? request : { kind: 'sight' }
    const { answer: found, problem } = await askCluster(question)
    if (found === null) return { status: agentExit.unavailable, out: '', error: `${argv[0]}: ${problem ?? 'the cluster did not answer'}\n` }
    if (request.kind === 'attribute')
      return answerAttribute(request, request.node ?? world.node, found.kind === 'attribute' ? (found.value ?? undefined) : undefined)
    return found.kind === 'sight' ? answerCluster(request, world.node, found) : said('')
  }

  function ofThisBoot(request: Extract<AgentRequest, { kind: 'attribute' }>, group: string): AgentAnswer {
    const { act, name, node = world.node } = request
    if (node !== world.node)
      return { status: agentExit.unimplemented, out: '', error: `what ${node} notes down until its next boot is known there only\n` }
    if (act.kind === 'delete') world.attributes.delete(name)
    if (act.kind === 'set' && !world.attributes.set(name, act.value))
      return { status: agentExit.error, out: '', error: 'too many attributes are noted down on this node\n' }
    const scored = scoredResource(name)
    if (scored !== undefined && act.kind !== 'get') world.scored(group, scored, act.kind === 'set' ? readScore(act.value) : undefined)
    return answerAttribute(request, node, world.attributes.get(name))
  }

  function askCluster(question: ClusterQuestion): Promise<Answered> {
    return new Promise((resolve) => {
      const askId = `agent-${process.pid}-${++asked}`
      const finish = (answered: Answered) => {
        clearTimeout(timer)
        waiting.delete(askId)
        resolve(answered)
      }
      const timer = setTimeout(() => finish({ answer: null, problem: 'the cluster did not answer in time' }), answerMax)
      waiting.set(askId, finish)
      if (!world.ask(askId, question)) finish({ answer: null, problem: 'the daemon of this node is not there' })
    })
  }
}

interface AgentCall {
  readonly argv: readonly string[]
  readonly instance: string
  readonly group: string
}

/** `<length>\n`, then resource, group, token and the words of the call, each ended by a NUL but the last. */
function readCall(bytes: Buffer): AgentCall | 'incomplete' | undefined {
  const end = bytes.indexOf(0x0a)
  if (end < 0) return bytes.length > 16 ? undefined : 'incomplete'
  const head = bytes.subarray(0, end).toString('latin1')
  const length = /^\d{1,6}$/.test(head) ? Number(head) : Number.NaN
  if (!(length <= messageMax)) return undefined
  if (bytes.length < end + 1 + length) return 'incomplete'
  const [instance = '', group = '', _token, ...argv] = bytes
    .subarray(end + 1, end + 1 + length)
    .toString('utf8')
    .split('\0')
  return { argv, instance, group }
}
