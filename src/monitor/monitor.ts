/**
 * The monitor process: one inbox around `MonitorCore`, with the agents, the run folder and the daemon's socket about it.
 *
 * It outlives the daemon. Its own end, wanted or not, touches no service: the next one resumes from the run records.
 */
import { mkdirSync } from 'node:fs'
import { ClusterError, type GroupName, isGroupName, isName, type ResourceName, wholeOf } from '../base/index.js'
import {
  MonitorCore,
  type MonitorEvent,
  type MonitorOrder,
  type MonitorReport,
  type RunRecord,
  readScore,
  scoreOfNote,
} from '../core/monitor/index.js'
import { openAgents } from '../io/agents/index.js'
import { openClock } from '../io/clock/index.js'
import { acquireLock, type LocalConnection, listenLocal } from '../io/local-socket/index.js'
import { allContainments, identify, openContainment } from '../io/processes/index.js'
import { openRunFolder } from '../io/run-folder/index.js'
import { serveAgentCommands } from './agent-commands.js'
import { openAttributes } from './attributes.js'
import { CarriedFiles } from './carried.js'
import { ClusterAsks } from './cluster-asks.js'
import type { MonitorConfig } from './config.js'
import { NoteSender } from './note-sender.js'
import { Performer } from './performer.js'
import { ReadyPrograms } from './ready.js'

/** A monitor that was just killed may take a moment to be gone. */
const lockPatience = 3_000
/** The boot clock moves in steps of 10 ms: an earlier look would find nothing due. */
const wakeMin = 5
const wakeMax = 60_000
const killActionsMax = 5_000
const beatEvery = 1_000
/** How often it is looked how late the loop comes. */
const lagEvery = 100

export interface RunningMonitor {
  /** Stops it; what it keeps runs on. */
  close(): Promise<void>
}

/**
 * Starts the monitor of this node in this process.
 * Errors: CONFLICT when another monitor of this run folder runs, or an emergency stop is under way.
 */
export async function runMonitor(config: MonitorConfig, log: (text: string) => void = console.log): Promise<RunningMonitor> {
  const runFolder = openRunFolder(config.runDir)
  mkdirSync(config.logDir, { recursive: true })
  const { group: only } = config
  const role = only === undefined ? ('monitor' as const) : (`monitor@${only}` as const)
  const lock = await acquireLock(`quorate-${role}-${runFolder.key}`, lockPatience)
  if (lock === undefined) throw new ClusterError('CONFLICT', `another monitor uses ${runFolder.path}`)
  runFolder.beginBoot(config.boot)
  if (runFolder.readEmergency()?.phase === 'stopping') {
    await lock.release()
    throw new ClusterError('CONFLICT', 'an emergency stop is under way; the guardian starts the monitor after it')
  }
  const self = identify(process.pid)
  if (self !== undefined) runFolder.writePid(role, self)

  const clock = openClock()
  const containment = openContainment({ preference: config.containment ?? 'auto', key: runFolder.key, node: config.node })
  const core = new MonitorCore({
    node: config.node,
    boot: config.boot,
    containment: containment.place,
    jitterSeed: process.pid,
    ...(only === undefined ? {} : { only }),
  })
  let copies: Extract<MonitorOrder, { kind: 'copies' }>['groups'] = {}
  const agents = openAgents(
    { runFolder, logDir: config.logDir, clock, isPatient: true, copies: (group) => copies[wholeOf(group)] },
    {
      onLearnt: (group, resource, processes) => post({ kind: 'learnt', group, resource, processes }),
      onEnded: (group, resource, ended, detail) => post({ kind: 'ended', group, resource, process: ended, detail }),
      onEmptied: (group, resource) => post({ kind: 'emptied', group, resource }),
      onChanged: (group, resource) => post({ kind: 'changed', group, resource }),
    },
  )
  let daemon: LocalConnection | undefined
  const carried = new CarriedFiles({ node: config.node, runFolder, log, report: (said) => daemon?.send(said) })
  const report = (said: MonitorReport) => carried.tell(said)
  const attributes = openAttributes(runFolder, config.boot)
  const asks = new ClusterAsks((askId, question) => {
    if (daemon === undefined) return false
    daemon.send({ kind: 'asked', askId, question } satisfies MonitorReport)
    return true
  })
  const sender = new NoteSender(attributes, (question) => asks.ask(question))
  const forgetScores = (group: GroupName) => {
    if (only !== undefined) return // They are kept by the monitor that all share.
    attributes.forgetScores(group)
    sender.wake()
  }
  const ready = new ReadyPrograms(runFolder, containment, log)
  const performer = new Performer({
    deadline: () => core.deadline,
    runFolder,
    containment,
    agents,
    ready,
    carried,
    post,
    report,
    log,
    forgetScores,
  })
  const inbox: MonitorEvent[] = []
  let busy = true // Until it has resumed.
  let closed = false
  let wake: NodeJS.Timeout | undefined

  // What a dead monitor had in flight would only disturb; services and starts are left to the records.
  const { readable, unreadable } = runFolder.readRecords()
  const isMine = (record: RunRecord) => (record.dedicated === true ? record.group === only : only === undefined)
  const mine = readable.filter(isMine)
  const others = readable.filter((record) => !isMine(record))
  const apart = new Set<string>([...others.map(({ group }) => group), ...runFolder.readMonitors(config.boot)])
  const ofMine = (group: string | undefined) => (only === undefined ? group === undefined || !apart.has(group) : group === only)
  const places = readable.map((record) => record.containment)
  await Promise.all(allContainments(containment, places).map((each) => each.killActions(killActionsMax, ofMine)))
  inbox.unshift({
    kind: 'resumed',
    records: mine,
    // Nobody can tell whose it was: whoever is asked says that nobody knows.
    unreadable: unreadable.filter(({ group }) => only === undefined || group === only),
    others: new Map(others.map(({ group, token }) => [group, token])),
    seals: runFolder.seals.all(),
    deadline: runFolder.readDeadline(config.boot),
    scores: attributes.scores,
  })
  log(
    `monitor of ${config.node}${only === undefined ? '' : ` for ${only}`} up: boot ${config.boot}, ${containment.place.kind} at ${containment.place.root}, ${mine.length} run records`,
  )
  busy = false
  drain()
  const scored = (group: string, resource: string, score: number | undefined) => {
    if (!isGroupName(group) || !isName(resource)) return
    attributes.score(group, resource, score)
    post({ kind: 'scored', group: group as GroupName, resource: resource as ResourceName, score })
  }
  /** Agents of other nodes have noted something down of this one. */
  const takeNotes = ({ place, values }: Extract<MonitorOrder, { kind: 'notes' }>) => {
    for (const { name, value } of attributes.take(place, values)) {
      const about = scoreOfNote(name)
      if (about !== undefined) scored(`${about.of}:${config.node}`, about.resource, value === undefined ? undefined : readScore(value))
    }
  }
  // What agents ask of the cluster is answered by the monitor that all share.
  const commands =
    only !== undefined
      ? undefined
      : await serveAgentCommands({
          path: runFolder.socket('commands'),
          node: config.node,
          attributes,
          scored,
          noted: () => sender.wake(),
          ask: (question) => asks.ask(question),
        })
  const server = await listenLocal(runFolder.socket(role), {
    onConnected: (connection) => {
      const before = daemon
      daemon = connection
      before?.close() // One daemon at a time; the newest is it.
      post({ kind: 'connected' })
      if (only === undefined) sender.wake()
    },
    onMessage: (message, from) => {
      if (from !== daemon || !isOrder(message)) return
      if (message.kind === 'answered') asks.answered(message)
      else if (message.kind === 'notes') takeNotes(message)
      else if (message.kind === 'copies') copies = message.groups
      else if (message.kind === 'ready') ready.want(message.programs)
      else post({ kind: 'ordered', order: message })
    },
    onDisconnected: (connection) => {
      if (connection !== daemon) return
      daemon = undefined
      asks.disconnected()
    },
  })

  let lag = 0
  let due = performance.now() + lagEvery
  const looking = setInterval(() => {
    const now = performance.now()
    lag = Math.max(lag, now - due)
    due = now + lagEvery
  }, lagEvery)
  const beating = setInterval(() => {
    report({ kind: 'beat', lagMs: Math.round(lag) })
    lag = 0
  }, beatEvery)

  return {
    close: async () => {
      closed = true
      clearTimeout(wake)
      clearInterval(looking)
      clearInterval(beating)
      agents.close()
      ready.close()
      carried.close()
      sender.close()
      await commands?.close()
      await server.close()
      runFolder.clearPid(role)
      await lock.release()
      clock.close()
    },
  }

  function post(event: MonitorEvent) {
    inbox.push(event)
    drain()
  }

  /** Handles what waits, one event at a time, to the end. */
  function drain() {
    if (busy || closed) return
    busy = true
    for (let event = inbox.shift(); event !== undefined; event = inbox.shift()) {
      for (const effect of core.step(event, clock.boot())) performer.perform(effect)
    }
    busy = false
    clearTimeout(wake)
    const next = core.nextWake()
    if (next === undefined) return
    const span = Math.min(wakeMax, Math.max(wakeMin, next - clock.boot()))
    wake = setTimeout(() => post({ kind: 'woke' }), span)
  }
}

const orderKinds: readonly MonitorOrder['kind'][] = [
  'run',
  'stop',
  'probe',
  'look',
  'end-stray',
  'call',
  'call-release',
  'call-cancel',
  'answered',
  'notes',
  'copies',
  'ready',
  'deadline',
]

/** A newer daemon may know orders that this monitor does not: those are passed over. */
function isOrder(message: unknown): message is MonitorOrder {
  return typeof message === 'object' && message !== null && orderKinds.some((kind) => kind === (message as { kind?: unknown }).kind)
}
