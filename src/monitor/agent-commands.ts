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
  type ClusterQuestion,
  managerVersion,
  needsCluster,
  noteName,
  parseAgentCommand,
  readScore,
  said,
  scoreOfNote,
} from '../core/monitor/index.js'
import type { Attributes } from './attributes.js'
import type { Answered } from './cluster-asks.js'

export interface AgentCommandsWorld {
  readonly path: string
  readonly node: string
  readonly attributes: Attributes
  /** The copy of that group and resource would do so well as the primary; undefined where that was taken back. */
  readonly scored: (group: string, resource: string, score: number | undefined) => void
  /** Something was noted down: the others are to know. */
  readonly noted: () => void
  readonly ask: (question: ClusterQuestion) => Promise<Answered>
}

export interface AgentCommands {
  close(): Promise<void>
}

const messageMax = 131_072

export async function serveAgentCommands(world: AgentCommandsWorld): Promise<AgentCommands> {
  const open = new Set<Socket>()

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
    if (request.kind === 'version') return said(managerVersion)
    if (request.kind === 'attribute' && !needsCluster(request, world.node)) return ofThisBoot(request, group)
    const { answer: found, problem } = await world.ask(questionOf(request, group))
    if (found === null) return { status: agentExit.unavailable, out: '', error: `${argv[0]}: ${problem ?? 'the cluster did not answer'}\n` }
    if (request.kind === 'attribute')
      return answerAttribute(request, request.node ?? world.node, found.kind === 'attribute' ? (found.value ?? undefined) : undefined)
    return found.kind === 'sight' ? answerCluster(request, world.node, found) : said('')
  }

  function ofThisBoot(request: Extract<AgentRequest, { kind: 'attribute' }>, group: string): AgentAnswer {
    const { act } = request
    const name = noteName(request.name, group)
    if (act.kind === 'delete') world.attributes.delete(name)
    if (act.kind === 'set' && !world.attributes.set(name, act.value))
      return { status: agentExit.error, out: '', error: `too many attributes are noted down on ${world.node}\n` }
    if (act.kind !== 'get') world.noted()
    const scored = scoreOfNote(name)
    if (scored !== undefined && act.kind !== 'get')
      world.scored(group, scored.resource, act.kind === 'set' ? readScore(act.value) : undefined)
    return answerAttribute(request, world.node, world.attributes.get(name))
  }
}

/** Of another node, what is kept until its next boot goes by the name of a note. */
function questionOf(request: AgentRequest, group: string): ClusterQuestion {
  if (request.kind !== 'attribute') return { kind: 'sight', group }
  const { kind, act, scope, node, set, name } = request
  return { kind, act, scope, set, name: scope === 'reboot' ? noteName(name, group) : name, ...(node === undefined ? {} : { node }) }
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
