/** The daemon process: opens the real rooms, forms the cluster or finds it formed, and runs the node. */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { isIP } from 'node:net'
import { type BootId, ClusterError, type DiskName, type GroupName, type MemberId, type NodeId, type SessionId } from '../base/index.js'
import {
  ClusterState,
  Formation,
  type FormationEffect,
  type FormationMessage,
  type GroupDefinition,
  supportedLevel,
  type TableName,
} from '../core/cluster/index.js'
import type { DiskPlace } from '../core/disks/index.js'
import { type ClusterQuestion, isSystemd, type LookFound, type MonitorReport } from '../core/monitor/index.js'
import { clusterKeyPurpose, guardianSender, type StartedGuardian, startGuardian } from '../guardian/index.js'
import { logLinesMax, type ResourceLog, readResourceLog } from '../io/agents/index.js'
import { openClock } from '../io/clock/index.js'
import { deriveKey, openDatagrams } from '../io/datagram/index.js'
import { openDisks, readInitiatorName } from '../io/disks/index.js'
import { openGuardianLink } from '../io/guardian-link/index.js'
import type { NodeConfig } from '../io/node-file/index.js'
import { openPeers } from '../io/peers/index.js'
import { openRunFolder, readBootId } from '../io/run-folder/index.js'
import { openSealer, type Sealer } from '../io/sealing/index.js'
import { type Identity, openStore, type Restored, type Store, type StoreListener } from '../io/store/index.js'
import { AgentNews } from './agent-news.js'
import { answerAgent } from './agent-questions.js'
import { Carried } from './carried.js'
import { CopyNotices } from './copy-notices.js'
import { FenceAgents } from './fence-agents.js'
import type { NodeIdentity, NodeIo } from './io.js'
import { type Frame, kindOf, type Question } from './messages.js'
import { Monitors } from './monitors.js'
import { QuorateNode, tickInterval } from './node.js'
import { OcfAgents, type Program, type Validation } from './ocf-agents.js'
import { type ActsFor, ResourceVerbs, type ResourceVerbsDoors } from './resource-verbs.js'
import { Units } from './units.js'

export type Called = Extract<MonitorReport, { kind: 'called' }>

export interface Daemon {
  readonly config: NodeConfig
  readonly boot: BootId
  /** Undefined until the cluster has formed. */
  readonly node: QuorateNode | undefined
  /** What it waits for while there is no node. */
  readonly waitingFor: string
  /** Peers that were turned away, newest last: another cluster's, another version's, garbled. */
  readonly turnedAway: readonly { readonly address: string; readonly reason: string; readonly at: number }[]
  /** Runs a program through the monitor, away from this process. Errors: NO_QUORUM when the monitor does not answer. */
  call(program: Program): Promise<Called>
  /** The OCF agents of this node. */
  readonly agents: OcfAgents
  /** The fence agents of this node. */
  readonly fenceAgents: FenceAgents
  /** Seals what is nobody's to read. */
  readonly sealer: Sealer
  /** The services of systemd on this node. */
  readonly units: Units
  /** Resolves when the node runs. */
  readonly formed: Promise<QuorateNode>
  close(): Promise<void>
}

export interface DaemonDoors {
  readonly config: NodeConfig
  /** How the guardian is started again when it is silent. */
  readonly guardianArgv: readonly string[]
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
  readonly fatal: (error: unknown) => void
  /** When the log is compacted, instead of the usual bounds: for tests. */
  readonly compaction?: NonNullable<NodeIo['compaction']>
  /** Answers that only the faces can give, such as resource types. */
  readonly answers?: (question: Question) => Promise<unknown> | undefined
}

const formationInterval = 100
const joinInterval = 1_000
const guardianSilence = 1_000
/** What was started is given so long to say something, in milliseconds. */
const guardianStartMax = 5_000
const turnedAwayKept = 20
const guardianKeysMax = 64
const proposeTimeout = 2_000

export async function startDaemon(doors: DaemonDoors): Promise<Daemon> {
  const { config, log } = doors
  const boot = readBootId({ bootIdFile: config.bootIdFile })
  const run = openRunFolder(config.runDir)
  run.beginBoot(boot)
  const clock = openClock()
  const processId = randomBytes(12).toString('hex')
  const session = `${boot}/${run.nextSession(boot)}` as SessionId
  const lease = run.openLease(boot)
  const turnedAway: { address: string; reason: string; at: number }[] = []
  const calls = new Map<string, (called: Called) => void>()
  const looks = new Map<string, (found: LookFound) => void>()

  let node: QuorateNode | undefined
  const storeListener: StoreListener = {
    onPersisted: (sequence) => node?.persisted(sequence),
    onFailure: (error) => doors.fatal(error),
  }
  const { store, restored } = await openStore(config.dataDir, storeListener)
  const { identity } = restored
  if (identity !== undefined && identity.node !== config.node) {
    throw new ClusterError('INVALID', `the data folder ${config.dataDir} belongs to node ${identity.node}, the file says ${config.node}`, {
      fix: 'give each node a data folder of its own',
    })
  }

  if (identity?.phase === 'quarantined') {
    await store.close()
    throw new ClusterError('STATE_DIVERGED', `the data folder ${config.dataDir} was found to hold something else than the other members`, {
      fix: `move it away: ${config.node} joins again as a new member and copies the state; keep it for a report`,
    })
  }
  const state = await stateOf(restored)

  if (identity?.phase === 'recovering') {
    await store.close()
    throw new ClusterError('CONFLICT', `the recovery of the data folder ${config.dataDir} was broken off`, {
      fix: 'run quorate recover again, to its end',
    })
  }

  let forming: Forming | undefined
  const peers = await openPeers({
    self: config.node,
    clusterName: config.clusterName,
    secret: config.secret,
    processId,
    level: supportedLevel,
    listen: config.links,
    peers: new Map([...config.members].map(([name, address]) => [name, [address]])),
    // Each link from its own address: by that the others know this node, and what comes back takes the same way.
    localAddresses: config.links.map(({ host }) => (isIP(host) === 0 || /^[0.:]*$/.test(host) ? undefined : host)),
    strangers: true,
    ...(identity?.phase === 'formed' ? { identity: { clusterId: identity.clusterId, memberId: identity.memberId } } : {}),
    listener: {
      onFrame: (from, frame) => {
        if (kindOf(frame) === 'formation') {
          const message = frame as FormationMessage
          if (node?.knows(from) === false && typeof message.address?.host === 'string') peers.reach(from, [message.address])
          forming?.received(from, message)
        } else if (kindOf(frame) === 'joined') forming?.joined(frame as Joined)
        else node?.frame(from, frame)
      },
      onConnected: (peer) => log('info', `connected with ${peer.node}`),
      onDisconnected: (peer) => {
        log('info', `connection with ${peer} ended`)
        node?.peerEnded(peer)
      },
      onRefused: (peer, address) => node?.peerRefused(peer, address),
      onTurnedAway: (address, reason) => {
        log('warn', `turned away ${address}: ${reason}`)
        turnedAway.push({ address, reason, at: Date.now() })
        if (turnedAway.length > turnedAwayKept) turnedAway.shift()
      },
    },
  })
  const clusterKey = deriveKey(config.secret, clusterKeyPurpose)
  const guardianKeys = new Map<string, Uint8Array>()
  const keyOf = (sender: string): Uint8Array => {
    if (!sender.startsWith('guardian:')) return clusterKey
    const key = guardianKeys.get(sender) ?? deriveKey(config.secret, sender)
    if (guardianKeys.size < guardianKeysMax) guardianKeys.set(sender, key)
    return key
  }
  const datagrams = await openDatagrams({
    self: config.node,
    key: keyOf,
    sendKey: clusterKey,
    links: config.links,
    listener: {
      onDatagram: (sender, link, message) => {
        // A guardian speaks for its own node only, and nobody else gives a guardian's answers.
        const guardian = kindOf(message) === 'guardian-answer'
        if (guardian !== sender.startsWith('guardian:')) return
        if (guardian && guardianSender((message as { node: NodeId }).node) !== sender) return
        node?.datagram(sender, link, message)
      },
      onUnreachable: (to) => node?.portRefused(to),
    },
  })
  const monitor = new Monitors(run, boot, {
    onReport: (report, from) => {
      if (report.kind === 'asked') return void answerMonitor(report.askId, report.question)
      if (report.kind === 'called') calls.get(report.callId)?.(report)
      if (report.kind === 'looked') looks.get(report.lookId)?.(report.found)
      monitorReport(report, from)
    },
    onDisconnected: (of) => {
      hellos.delete(of)
      node?.monitorDisconnected(of)
    },
  })
  /** For an agent that has called one of its commands. */
  const answerMonitor = async (askId: string, question: ClusterQuestion): Promise<void> => {
    try {
      if (node === undefined) throw new ClusterError('NOT_FORMED', 'the cluster has not formed yet')
      monitor.send({ kind: 'answered', askId, answer: await answerAgent(node, boot, question) })
    } catch (error) {
      monitor.send({ kind: 'answered', askId, answer: null, problem: error instanceof Error ? error.message : String(error) })
    }
  }
  const news = new AgentNews({ self: config.node, boot, send: (order) => monitor.send(order) })
  // What a monitor says first is kept until there is a node to hear it.
  const hellos = new Map<GroupName | undefined, MonitorReport>()
  const monitorReport = (report: MonitorReport, from: GroupName | undefined): void => {
    if (report.kind === 'hello') hellos.set(from, report)
    if (node === undefined) return
    if (report.kind === 'hello' && from === undefined) news.monitorCame(node.state)
    carried.onReport(report, from)
  }
  const carried: Carried = new Carried({
    self: config.node,
    runFolder: run,
    node: () => node,
    send: (order, to) => monitor.send(order, to),
    tell: (report, from) => node?.monitorReport(report, from),
    log,
  })
  let guardianSilentTicks = 0
  let guardianStarted: StartedGuardian | undefined
  let ticksSinceStart = 0
  let guardianState: Parameters<QuorateNode['guardianReported']>[0]
  const guardian = openGuardianLink(run.socket('guardian'), {
    onState: (state) => {
      guardianSilentTicks = 0
      guardianState = state
      node?.guardianReported(state)
    },
    onConnected: () => undefined,
    onDisconnected: () => {
      guardianState = undefined
      node?.guardianReported(undefined)
    },
  })

  const disks = openDisks(
    { folder: config.runDir, initiator: initiatorOf(config.clusterName, config.node) },
    { onAnswer: (answer) => node?.diskAnswered(answer), onTrouble: (text) => log('warn', text) },
  )

  const sealer = openSealer(config.secret)
  const openPlace = (name: DiskName, place: DiskPlace): DiskPlace => {
    if (place.kind !== 'iscsi' || place.password === undefined) return place
    try {
      return { ...place, password: sealer.open(place.password) }
    } catch (error) {
      log('error', `shared disk ${name}: ${(error as Error).message}`)
      const { password: _, ...rest } = place
      return rest
    }
  }

  const self: NodeIdentity = {
    node: config.node,
    boot,
    session,
    clusterName: config.clusterName,
    members: config.members,
    links: config.advertise.links,
    guardian: config.advertise.guardian,
    api: config.api.listen === undefined ? null : `${config.api.listen.host}:${config.api.listen.port}`,
    level: supportedLevel,
    guard: { guarded: false, watchdog: 'none', watchdogTimeout: 0, emergencyStop: config.emergencyStop },
  }
  const io: NodeIo = {
    clock,
    store,
    peers,
    datagrams,
    monitor: { send: (order, to) => carried.send(order, to), want: (groups) => monitor.want(groups), open: monitor.open },
    guardian,
    disks: {
      want: (wanted) => disks.want(wanted.map(({ name, place }) => ({ name, place: openPlace(name, place) }))),
      send: (order) => disks.send(order),
    },
    unseal: (text) => sealer.open(text),
    lease: { write: (deadline) => lease.extend(deadline) },
    freshId: () => randomBytes(9).toString('base64url'),
    seed: randomInt(1, 2 ** 31),
    ...(doors.compaction === undefined ? {} : { compaction: doors.compaction }),
    defer: (task) => void setImmediate(task),
    log,
    fatal: doors.fatal,
  }

  const ticker = setInterval(() => {
    node?.tick()
    // A guardian speaks several times a second; one that is silent is gone, or hangs and has to go.
    // Counted in the daemon's own ticks: its own stalls are not the guardian's silence.
    ticksSinceStart++
    if (++guardianSilentTicks * tickInterval > guardianSilence) {
      guardianSilentTicks = 0
      guardianState = undefined
      node?.guardianReported(undefined)
      // On a machine with much to do it is slow to come: another one beside it would only make it slower.
      if (guardianStarted?.isAlive() === true && ticksSinceStart * tickInterval < guardianStartMax) return
      ticksSinceStart = 0
      log('warn', 'the guardian is silent: starting it again')
      guardianStarted = startGuardian(doors.guardianArgv, config.logDir, run)
    }
  }, tickInterval)

  /** Asks a monitor something, that of the group `to` or the shared one, and waits for the answer of that id. */
  const askMonitor = <Answer>(
    waiting: Map<string, (answer: Answer) => void>,
    timeoutMs: number,
    to: GroupName | undefined,
    send: (id: string) => void,
  ): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const fail = (text: string) => reject(new ClusterError('NO_QUORUM', text, { fix: 'look at its log; the guardian starts it again' }))
      if (!monitor.isConnected(to)) return fail(`the monitor ${to === undefined ? 'of this node' : `of ${to}`} is not there`)
      const id = `call-${io.freshId()}`
      const settle = setTimeout(() => {
        waiting.delete(id)
        fail('the monitor of this node did not answer')
      }, timeoutMs)
      waiting.set(id, (answer) => {
        clearTimeout(settle)
        waiting.delete(id)
        resolve(answer)
      })
      send(id)
    })
  const call = (program: Program, of?: ActsFor): Promise<Called> => {
    const to = of?.isDedicated === true ? of.group : undefined
    return askMonitor(calls, program.timeoutMs + 2_000, to, (callId) => {
      const { argv, environment, input = '', timeoutMs: timeout, workingDirectory, user } = program
      const where = { ...(workingDirectory === undefined ? {} : { workingDirectory }), ...(user === undefined ? {} : { user }) }
      const grant = of === undefined ? {} : { of: { group: of.group, token: of.token } }
      monitor.send({ kind: 'call', callId, argv, environment, input, ...where, ...grant, hold: false, timeout }, to)
    })
  }
  const look: ResourceVerbsDoors['look'] = (order, timeoutMs, to) =>
    askMonitor(looks, timeoutMs, to, (lookId) => monitor.send({ kind: 'look', lookId, ...order }, to))
  const agents = new OcfAgents(config.node, run, call)
  const fenceAgents = new FenceAgents(call)
  const units = new Units(config.node, call)
  const verbs = new ResourceVerbs({ self: config.node, boot, runFolder: run, agents, node: () => node, call, look })
  const notices = new CopyNotices({
    self: config.node,
    boot,
    tell: (copy, row, notice, done) => void verbs.tell(copy, row, notice).then(done, done),
    propose: (command, done) =>
      node?.submitCommand(command, { timeoutMs: proposeTimeout }, (outcome) => done(outcome.ok && outcome.value.ok)),
  })
  const answerHere = (question: Question): Promise<unknown> | undefined => {
    if (question.kind === 'log') return answerLog(config.logDir, question, node?.state, units)
    if (question.kind === 'validate') return validateAll([agents, units], question.resources)
    if (question.kind === 'look') return verbs.look(question)
    if (question.kind === 'act') return verbs.act(question)
    return doors.answers?.(question)
  }

  const startNode = (known: Identity): QuorateNode => {
    const { rows: _, ...rest } = restored
    const started = new QuorateNode(self, io, { ...rest, rows: [], identity: known }, state, (question) => answerHere(question))
    node = started
    peers.setIdentity({ clusterId: known.clusterId, memberId: known.memberId })
    if (hellos.has(undefined)) news.monitorCame(started.state)
    for (const [from, hello] of hellos) carried.onReport(hello, from)
    if (guardianState !== undefined) started.guardianReported(guardianState)
    started.onApplied(({ changes, replaced }) => {
      const isChanged = (name: TableName) => replaced === true || changes.some(({ table }) => table === name)
      news.look(started.state, isChanged)
      if (isChanged('scalables') || isChanged('groups')) notices.look(started.state)
    })
    return started
  }
  const formation = form(doors, restored, store, (to, frame) => peers.send(to, frame))
  forming = formation
  const formed = formation.done.then(startNode)
  formed.catch(doors.fatal)

  return {
    config,
    boot,
    get node() {
      return node
    },
    get waitingFor() {
      return formation.waitingFor()
    },
    turnedAway,
    formed,
    call,
    agents,
    fenceAgents,
    sealer,
    units,
    close: async () => {
      units.close()
      carried.close()
      clearInterval(ticker)
      formation.stop()
      node?.stop()
      guardian.send({ kind: 'daemon-leaving' })
      monitor.close()
      disks.close()
      guardian.close()
      await Promise.all([peers.close(), datagrams.close()])
      await store.close()
      lease.close()
      clock.close()
    },
  }
}

/** Of a unit, what it writes is in the journal. */
async function answerLog(
  folder: string,
  { group, resource, lines }: Extract<Question, { kind: 'log' }>,
  state: ClusterState | undefined,
  units: Units,
): Promise<ResourceLog | null> {
  const count = Math.min(lines, logLinesMax)
  const row = state?.get('groups', group)
  const { type = '' } = row?.holder?.pinned.resources[resource] ?? row?.definition.resources[resource] ?? {}
  const [written, journal] = await Promise.all([
    readResourceLog(folder, { group, resource }, count),
    isSystemd(type) ? units.journal(type, count) : undefined,
  ])
  if (journal === undefined || (journal.length === 0 && written === undefined)) return written ?? null
  return { service: [...(written?.service ?? []), ...journal].slice(-count), actions: written?.actions ?? [] }
}

/** The name that an iSCSI target knows this machine by: its own where it has one, for arrays are told who may come. */
function initiatorOf(cluster: string, node: NodeId): string {
  const named = readInitiatorName()
  const fit = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9.-]/g, '-')
  return named ?? `iqn.2007-10.com.github:sahlberg:libiscsi:${fit(cluster)}.${fit(node)}`
}

type Joined = Extract<Frame, { kind: 'joined' }>
type Forming = ReturnType<typeof form>

/** Runs the formation until the identity is known; a formed member goes on telling stragglers. */
function form({ config, log }: DaemonDoors, { identity }: Restored, store: Store, send: (to: NodeId, frame: Frame) => void) {
  const found =
    identity === undefined || identity.phase === 'quarantined' || identity.phase === 'recovering'
      ? undefined
      : { phase: identity.phase, plan: { clusterId: identity.clusterId, voters: identity.voters } }
  const mint = (what: string): string => `${what}-${randomBytes(8).toString('hex')}`
  const { invitation } = config
  const formation = new Formation(config.node, [...config.members.keys()], found, mint, invitation !== undefined)
  const address = config.advertise.links[0] as { host: string; port: number }
  /** Names this life of the data folder, as long as it has no identity. */
  const folder = mint('folder')
  const join: Frame = {
    kind: 'join',
    folder,
    address,
    checksum: invitation === undefined ? null : createHash('sha256').update(invitation).digest('hex'),
  }
  let settle: (identity: Identity) => void
  let fail: (error: unknown) => void
  const done = new Promise<Identity>((resolve, reject) => {
    settle = resolve
    fail = reject
  })
  let askedAt = 0
  let refusal: string | undefined
  const write = (written: Identity): void => {
    store.writeIdentity(written).then(() => {
      perform(formation.written())
      if (written.phase === 'formed') settle(written)
    }, fail)
  }
  const perform = (effects: readonly FormationEffect[]): void => {
    for (const effect of effects) {
      switch (effect.kind) {
        case 'send':
          send(effect.to, { ...effect.message, address })
          break
        case 'write': {
          const memberId = effect.plan.voters.find((voter) => voter.node === config.node)?.member as MemberId
          const { clusterId, voters } = effect.plan
          write({ clusterId, memberId, node: config.node, phase: effect.phase, voters })
          break
        }
        case 'join':
          if (Date.now() - askedAt < joinInterval) break
          askedAt = Date.now()
          send(effect.to, join)
          break
        case 'write-joined':
          write({ clusterId: effect.clusterId, memberId: effect.member, node: config.node, phase: 'formed', voters: [] })
          break
        case 'refused':
          if (effect.text !== refusal) log('warn', `not taken in: ${effect.text}`)
          refusal = effect.text
          break
        case 'formed':
          break
      }
    }
  }
  const timer = setInterval(() => perform(formation.tick()), formationInterval)
  if (identity?.phase === 'formed') {
    clearInterval(timer)
    queueMicrotask(() => settle(identity))
  } else void done.then(() => clearInterval(timer))
  return {
    done,
    received: (from: NodeId, message: FormationMessage) => perform(formation.received(from, message)),
    joined: ({ folder: asked, clusterId, member, error }: Joined) => {
      if (asked === folder) perform(formation.joined({ clusterId, member, refused: error?.detail }))
    },
    waitingFor: () => formation.waitingFor,
    stop: () => clearInterval(timer),
  }
}

/** Rows built into the state in one turn of the event loop: what is alive at the node's start goes on meanwhile. */
const rowsPerTurn = 2_000

async function stateOf({ applied, rows }: Restored): Promise<ClusterState> {
  const state = ClusterState.empty()
  for (let at = 0; at < rows.length; at += rowsPerTurn) {
    state.load(rows.slice(at, at + rowsPerTurn))
    await new Promise((resolve) => setImmediate(resolve))
  }
  state.appliedIndex = applied.index
  return state
}

/** Each looks at what is its own. */
async function validateAll(
  judges: readonly { validate(resources: GroupDefinition['resources']): Promise<Validation> }[],
  resources: GroupDefinition['resources'],
): Promise<Validation> {
  const answers = await Promise.all(judges.map((judge) => judge.validate(resources)))
  return { problems: answers.flatMap(({ problems }) => problems), warnings: answers.flatMap(({ warnings }) => warnings) }
}
