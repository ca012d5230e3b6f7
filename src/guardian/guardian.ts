/**
 * The guardian process: small, first up, last down. One inbox around `GuardianCore`, with the run folder, the other two
 * processes, the daemon's socket and the guardian's own port about it.
 */
import { mkdirSync } from 'node:fs'
import { bootInstant, ClusterError, type GroupName, type Token } from '../base/index.js'
import type { QuorumLossPolicy } from '../core/cluster/index.js'
import { GuardianCore, type GuardianEvent, type GuardianOrder } from '../core/guardian/index.js'
import { openClock } from '../io/clock/index.js'
import { acquireLock, type LocalConnection, listenLocal } from '../io/local-socket/index.js'
import { identify, openContainment } from '../io/processes/index.js'
import { openRunFolder, type RunFolder } from '../io/run-folder/index.js'
import { readTimeout, type Watchdog, watchdogAt, whyNoProof } from '../io/watchdog/index.js'
import { Answers } from './answers.js'
import { Children } from './children.js'
import type { GuardianConfig } from './config.js'
import { GuardianPerformer } from './performer.js'

const lookEvery = 25
/** A guardian that was just killed may take a moment to be gone. */
const lockPatience = 1_000
/** Seals change only with the records, except where nothing was ever started: those may be stated a little late. */
const readSealsEvery = 1_000
const boundLogsEvery = 10_000
/** A monitor of its own that a group is to have is started so soon. */
const readMonitorsEvery = 100

export interface RunningGuardian {
  /** Settles when an orderly stop has ended. */
  readonly ended: Promise<void>
  /** Stops in an orderly way: the daemon leaves, the monitor ends, what still runs is ended. */
  terminate(): void
  /** Ends this guardian alone, as for an upgrade: everything else runs on, unguarded until the next one starts. */
  handOver(): Promise<void>
}

/**
 * Starts the guardian of this node in this process.
 * Errors: CONFLICT when another guardian of this run folder runs; it should then end quietly.
 */
export async function runGuardian(config: GuardianConfig, log: (text: string) => void = console.log): Promise<RunningGuardian> {
  const runFolder = openRunFolder(config.runDir)
  mkdirSync(config.logDir, { recursive: true })
  const lock = await acquireLock(`quorate-guardian-${runFolder.key}`, lockPatience)
  if (lock === undefined) throw new ClusterError('CONFLICT', `another guardian guards ${runFolder.path}`)
  runFolder.beginBoot(config.boot)
  const self = identify(process.pid)
  if (self !== undefined) runFolder.writePid('guardian', self)

  const { node, boot, secret, guardian, logDir } = config
  const clock = openClock()
  const emergencyStop = emergencyStopOf(config, runFolder, log)
  const watchdog = fitting(config.watchdog, emergencyStop, log)
  const core = new GuardianCore({
    node,
    boot,
    emergencyStop,
    leaveTimeout: config.leaveTimeout ?? 10_000,
    watchdogTimeout: watchdog?.timeout,
    watchdogProves: watchdog !== undefined && proves(config, log),
  })
  const children = new Children(
    { runFolder, logDir, log, argv: { daemon: config.daemonArgv, monitor: config.monitorArgv } },
    { onUp: (role) => post({ kind: 'process-up', role }), onEnded: (role, refused) => post({ kind: 'process-ended', role, refused }) },
  )
  const links = guardian.addresses.map((host) => ({ host, port: guardian.port }))
  const answers = new Answers({ node, secret, links, log }, (query, from) => {
    // Only what a case may rest on is read anew.
    if (query.groups !== undefined) post(look.now(true))
    post({ kind: 'queried', query, from })
  })
  const connections = new Set<LocalConnection>()
  let ended = () => {}
  const whenEnded = new Promise<void>((resolve) => {
    ended = resolve
  })
  const performer = new GuardianPerformer({
    boot,
    runFolder,
    logDir,
    clock,
    children,
    answers,
    watchdog,
    containment: openContainment({ preference: config.containment ?? 'auto', key: runFolder.key, node }),
    post,
    tellDaemon: (message) => {
      for (const connection of connections) connection.send(message)
    },
    log,
    onExit: () => void close().then(ended),
  })
  const look = new Look(runFolder, boot, log)
  const inbox: GuardianEvent[] = []
  let busy = false
  let closed = false

  const marker = runFolder.readEmergency()
  const own = runFolder.readMonitors(boot).map((group) => `monitor@${group}` as const)
  const running = (['daemon', 'monitor', ...own] as const).filter((role) => children.adopt(role))
  log(`guardian of ${node} up: boot ${boot}, adopted ${running.join(' and ') || 'nobody'}`)
  post({ kind: 'resumed', running, emergency: marker?.boot === boot ? marker : undefined, ...detachmentOf(runFolder, boot) })
  post(look.now(true))
  const looking = setInterval(() => post(look.now(false)), lookEvery)
  const bounding = setInterval(() => children.boundLogs(), boundLogsEvery)
  void answers.open()
  const server = await listenLocal(runFolder.socket('guardian'), {
    onConnected: (connection) => {
      connections.add(connection)
      // A daemon that was started by somebody else has told its pid.
      if (children.adopt('daemon')) post({ kind: 'process-up', role: 'daemon' })
      post({ kind: 'daemon-connected' })
    },
    onMessage: (message) => {
      if (isOrder(message)) post({ kind: 'ordered', order: message })
    },
    onDisconnected: (connection) => connections.delete(connection),
  })
  return { ended: whenEnded, terminate: () => post({ kind: 'terminated' }), handOver: close }

  function post(event: GuardianEvent) {
    inbox.push(event)
    if (busy || closed) return
    busy = true
    for (let next = inbox.shift(); next !== undefined; next = inbox.shift()) {
      for (const effect of core.step(next, clock.boot())) performer.perform(effect)
    }
    busy = false
  }

  async function close() {
    if (closed) return
    closed = true
    clearInterval(looking)
    clearInterval(bounding)
    children.close()
    performer.close()
    watchdog?.leave()
    await answers.close()
    await server.close()
    runFolder.clearPid('guardian')
    await lock?.release()
    clock.close()
  }
}

/**
 * While anything is open that others may count on the end of, no longer than it was when that was opened: what the log says of this
 * boot is changed before the next start, and not before this guardian.
 */
function emergencyStopOf(
  { boot, emergencyStop: wanted = 5_000 }: GuardianConfig,
  runFolder: RunFolder,
  log: (text: string) => void,
): number {
  const kept = runFolder.readEmergencyStop(boot)
  if (kept !== undefined && kept < wanted && runFolder.openTokens().size > 0) {
    log(`emergencyStop stays ${kept} ms instead of ${wanted} while something runs: it counts from the next start of the guardian without`)
    return kept
  }
  runFolder.writeEmergencyStop(boot, wanted)
  return wanted
}

function detachmentOf(runFolder: RunFolder, boot: GuardianConfig['boot']) {
  const detachment = runFolder.readDetachment(boot)
  return detachment === undefined ? {} : { detachment }
}

/** A guardian without its watchdog guards as well as it can. What cannot be used is never armed, and so never has to be disarmed. */
function fitting(device: string | undefined, emergencyStop: number, log: (text: string) => void): Watchdog | undefined {
  if (device === undefined) return undefined
  try {
    const timeout = readTimeout(device)
    if (2 * timeout <= emergencyStop) return watchdogAt(device, log)
    log(
      `the watchdog ${device} is not used: twice its ${timeout} ms is longer than the emergency stop of ${emergencyStop} ms; set it shorter (wdctl -s SECONDS), or emergencyStop longer`,
    )
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error
    log(`${error.message}; ${error.fix ?? ''}`)
  }
  return undefined
}

/** Whether others may take it that the machine has ended when its lease and its emergency stop are over. */
function proves({ watchdog = '', watchdogTrust }: GuardianConfig, log: (text: string) => void): boolean {
  if (watchdogTrust !== undefined) return watchdogTrust
  const reason = whyNoProof(watchdog)
  if (reason !== undefined) log(`the watchdog ${watchdog} is a net, and no proof for other nodes: ${reason}`)
  return reason === undefined
}

/** What the run folder says, read as often as it must be and no more. */
class Look {
  readonly #runFolder: RunFolder
  readonly #boot: GuardianConfig['boot']
  readonly #log: (text: string) => void
  #open: ReadonlyMap<GroupName, Token> = new Map()
  #isRead = false
  #seals: ReadonlyMap<GroupName, Token> = new Map()
  #sealsRead = Number.NEGATIVE_INFINITY
  #deadline = bootInstant(0)
  #monitors: readonly GroupName[] = []
  #monitorsRead = Number.NEGATIVE_INFINITY
  #policies: ReadonlyMap<GroupName, { readonly token: Token; readonly policy: QuorumLossPolicy | undefined }> = new Map()

  constructor(runFolder: RunFolder, boot: GuardianConfig['boot'], log: (text: string) => void) {
    this.#runFolder = runFolder
    this.#boot = boot
    this.#log = log
  }

  /** What cannot be read just now is as it was last: a deadline only grows, and what was open is not proved stopped. */
  now(fresh: boolean): Extract<GuardianEvent, { kind: 'looked' }> {
    this.#deadline = bootInstant(Math.max(this.#deadline, this.#runFolder.readDeadline(this.#boot)))
    try {
      if (fresh || performance.now() - this.#monitorsRead > readMonitorsEvery) {
        this.#monitors = this.#runFolder.readMonitors(this.#boot)
        this.#monitorsRead = performance.now()
      }
      this.#read(fresh)
    } catch (error) {
      this.#log(`the run folder cannot be read: ${String(error)}`)
    }
    const policies = new Map([...this.#policies].flatMap(([group, { policy }]) => (policy === undefined ? [] : [[group, policy] as const])))
    return {
      kind: 'looked',
      deadline: this.#deadline,
      open: this.#open,
      seals: this.#seals,
      isKnown: this.#isRead,
      monitors: this.#monitors,
      policies,
    }
  }

  /** They stay as they are for the life of a token. */
  #readPolicies() {
    const known = this.#policies
    this.#policies = new Map(
      [...this.#open].map(([group, token]) => {
        const before = known.get(group)
        const policy = before?.token === token ? before.policy : this.#runFolder.readRecord(group, token)?.onQuorumLoss
        return [group, { token, policy }]
      }),
    )
  }

  /** Seals first: a record that appears meanwhile only makes the statement weaker. */
  #read(fresh: boolean) {
    const open = this.#runFolder.openTokens()
    const changed = open.size !== this.#open.size || [...open].some(([group, token]) => this.#open.get(group) !== token)
    if (!fresh && !changed && performance.now() - this.#sealsRead < readSealsEvery) return
    const seals = this.#runFolder.seals.all()
    this.#open = this.#runFolder.openTokens()
    this.#seals = seals
    this.#readPolicies()
    this.#isRead = true
    this.#sealsRead = performance.now()
  }
}

const orderKinds: readonly GuardianOrder['kind'][] = ['alive', 'end-monitor', 'daemon-leaving', 'shut-down', 'holds', 'detach', 'attach']

/** A newer daemon may know orders that this guardian does not: those are passed over. */
function isOrder(message: unknown): message is GuardianOrder {
  return typeof message === 'object' && message !== null && orderKinds.some((kind) => kind === (message as { kind?: unknown }).kind)
}
