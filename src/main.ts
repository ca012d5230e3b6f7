#!/usr/bin/env node
/** The `quorate` command: dispatches to the processes of a node and to the command line. */
import { fileURLToPath } from 'node:url'
import { ClusterError, cannotRun, groupName } from './base/index.js'
import type { RunningGuardian } from './guardian/index.js'
import type { NodeConfig } from './io/node-file/index.js'
import type { Successor } from './node/index.js'

// Everything is loaded by who needs it: guardian and monitor stay small, and all start fast.
const self = fileURLToPath(import.meta.url)
const processes: Readonly<Record<string, (config: NodeConfig) => Promise<void>>> = { guardian, daemon, monitor, recover, upgrade }

/** Another one is to be started, with what is installed by then. */
const makesRoom = 75
/** How often one that stands by looks, in milliseconds. */
const standByInterval = 100

const [, , command, ...rest] = process.argv
const run = command === undefined ? undefined : processes[command]
if (run !== undefined && !rest.includes('--help')) {
  try {
    const [{ readNodeConfig }, { closeInherited, daemonPriority, monitorPriority, raisePriority }] = await Promise.all([
      import('./io/node-file/index.js'),
      import('./io/processes/index.js'),
    ])
    const config = readNodeConfig(configPath(rest))
    closeInherited(config.dataDir)
    // Before it has threads of its own: those follow.
    if (command === 'daemon') raisePriority(daemonPriority)
    if (command === 'monitor') raisePriority(monitorPriority)
    await run(config)
  } catch (error) {
    fail(error)
  }
} else if (command === 'agent') {
  const { runAgentKit } = await import('./agent-kit/index.js')
  process.exitCode = await runAgentKit(rest)
} else {
  const { runCli } = await import('./cli/index.js')
  process.stdout.on('error', () => process.exit(0)) // Whoever read it, such as head, has seen enough.
  process.exitCode = await runCli(process.argv)
}

function configPath(args: readonly string[]): string {
  const at = args.findIndex((arg) => arg === '--config' || arg === '-c')
  return (at >= 0 ? args[at + 1] : undefined) ?? '/etc/quorate/node.yaml'
}

/** How a process of this node is started. */
function argv(role: string, config: NodeConfig): readonly string[] {
  return [process.execPath, self, role, '--config', config.file]
}

async function guardian(config: NodeConfig): Promise<void> {
  const [{ isStartedByDaemon, runGuardian }, { readBootId }, { raiseToRealTime }] = await Promise.all([
    import('./guardian/index.js'),
    import('./io/run-folder/index.js'),
    import('./io/processes/index.js'),
  ])
  const obey = listen()
  let guards: RunningGuardian
  try {
    guards = await runGuardian({
      node: config.node,
      boot: readBootId({ bootIdFile: config.bootIdFile }),
      runDir: config.runDir,
      logDir: config.logDir,
      secret: config.secret,
      guardian: { addresses: config.links.map((link) => link.host), port: config.guardianPort },
      emergencyStop: config.emergencyStop,
      ...(config.watchdog === undefined ? {} : { watchdog: config.watchdog.device }),
      ...(config.watchdog?.trust === undefined ? {} : { watchdogTrust: config.watchdog.trust }),
      daemonArgv: argv('daemon', config),
      monitorArgv: argv('monitor', config),
      containment: config.containment,
    })
  } catch (error) {
    // Another guardian of this node holds the lock: that one guards.
    if (!(error instanceof ClusterError) || error.code !== 'CONFLICT') throw error
    if (isStartedByDaemon()) process.exit(0)
    return standBy(config, error.message, obey)
  }
  raiseToRealTime((text) => process.stdout.write(`guardian of ${config.node}: ${text}\n`))
  obey((signal) => {
    // An upgrade: the next guardian takes over what runs. Its status says to the service manager that there is to be one.
    if (signal === 'SIGHUP') void guards.handOver().then(() => process.exit(makesRoom))
    else guards.terminate()
  })
  await guards.ended
  process.exit(0)
}

type Obey = (signal: NodeJS.Signals) => void

/** From the first moment on: what a guardian is told before it knows whether it guards or stands by counts once it does. */
function listen(): (by: Obey) => void {
  const early: NodeJS.Signals[] = []
  let obeyed: Obey = (signal) => void early.push(signal)
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, (told) => obeyed(told))
  return (by) => {
    obeyed = by
    // An end is an end: what was to come after it is not.
    const told = early.splice(0)
    for (const signal of told.some((one) => one !== 'SIGHUP') ? told.filter((one) => one !== 'SIGHUP') : told) by(signal)
  }
}

/**
 * The service manager has started this guardian while another one guards: it stays, so that the service manager goes on having
 * somebody to tell, passes on what it is told, and ends with the other one. It never guards itself: a fresh one does.
 */
async function standBy(config: NodeConfig, why: string, obey: ReturnType<typeof listen>): Promise<void> {
  const [{ openRunFolder }, { isAlive, pause, signalProcess }] = await Promise.all([
    import('./io/run-folder/index.js'),
    import('./io/processes/index.js'),
  ])
  const folder = openRunFolder(config.runDir)
  const guarding = folder.readPid('guardian')
  obey((signal) => {
    if (guarding !== undefined) signalProcess(guarding, signal)
  })
  process.stdout.write(`${why}: standing by\n`)
  while (guarding !== undefined && isAlive(guarding)) await pause(standByInterval)
  // After an orderly end of the node nothing of it is left, and nothing is to be started.
  const isLeft = (['daemon', 'monitor'] as const).some((role) => {
    const kept = folder.readPid(role)
    return kept !== undefined && isAlive(kept)
  })
  process.exit(isLeft || guarding === undefined ? makesRoom : 0)
}

/** Each process of this node makes room for what is installed now; services run on. */
async function upgrade(config: NodeConfig): Promise<void> {
  const [{ replaceSoftware }, { openRunFolder, readBootId }, { Client }] = await Promise.all([
    import('./guardian/index.js'),
    import('./io/run-folder/index.js'),
    import('./cli/index.js'),
  ])
  const client = new Client({ url: undefined, socket: config.api.socket })
  const ask = async (path: string): Promise<Readonly<Record<string, unknown>> | undefined> => {
    try {
      const { status, body } = await client.ask({ method: 'GET', path })
      return status === 200 ? body : undefined
    } catch {
      return undefined // It is being replaced.
    }
  }
  type Shown = {
    readonly leader?: string
    readonly nodes?: readonly { readonly name: string; readonly state: string; readonly leaseOk: boolean }[]
  }
  const statusNow = async (): Promise<Shown | undefined> => ask('/v1/status?consistency=local')
  await replaceSoftware({
    runFolder: openRunFolder(config.runDir),
    boot: readBootId({ bootIdFile: config.bootIdFile }),
    whyNotReady: async () => {
      const ready = (await ask('/readyz')) as { readonly missing: readonly string[] } | undefined
      if (ready === undefined) return 'its daemon does not answer, or knows no leader'
      if (ready.missing.length > 0) return `its daemon misses the ${ready.missing.join(' and the ')}`
      const own = (await statusNow())?.nodes?.find(({ name }) => name === config.node)
      return own?.state !== 'ONLINE' || !own.leaseOk
        ? `${config.node} is ${own?.state ?? 'unknown'}, and its lease is not as it should be`
        : undefined
    },
    giveUpLead: async () => {
      const { leader, nodes = [] } = (await statusNow()) ?? {}
      const to = nodes.find(({ name, state }) => name !== config.node && state === 'ONLINE')?.name
      if (leader !== config.node || to === undefined) return
      await client.ask({ method: 'POST', path: '/v1/leader/transfer', query: { wait: '3s' }, body: { to } }).catch(() => undefined)
    },
    say: (text) => void process.stdout.write(`${text}\n`),
  })
  process.stdout.write('done: all three run what is installed now\n')
}

async function monitor(config: NodeConfig): Promise<void> {
  const [{ runMonitor }, { readBootId }] = await Promise.all([import('./monitor/index.js'), import('./io/run-folder/index.js')])
  const group = optionValue('--group')
  const running = await runMonitor({
    node: config.node,
    boot: readBootId({ bootIdFile: config.bootIdFile }),
    runDir: config.runDir,
    logDir: config.logDir,
    containment: config.containment,
    ...(group === undefined ? {} : { group: groupName(group) }),
  })
  process.on('SIGTERM', () => {
    setTimeout(() => process.exit(0), 1_000).unref()
    void running.close().finally(() => process.exit(0))
  })
}

async function daemon(config: NodeConfig): Promise<void> {
  const log = (level: string, text: string): void => {
    process.stdout.write(`${new Date().toISOString()} ${config.node} ${level === 'info' ? '' : `${level}: `}${text}\n`)
  }
  // Before the node is there: loading takes a while, and a node's loop carries heartbeats.
  const [{ startApi }, { afterPredecessor, startDaemon, startSuccessor }, { openRunFolder }] = await Promise.all([
    import('./api/index.js'),
    import('./node/index.js'),
    import('./io/run-folder/index.js'),
  ])
  const runFolder = openRunFolder(config.runDir)
  if (!(await afterPredecessor(rest, runFolder))) process.exit(0)
  const running = await startDaemon({
    config,
    guardianArgv: argv('guardian', config),
    log,
    // What the disk or the log holds is judged again at the next start; nothing is retried in place.
    fatal: (error) => fail(error),
  })
  const api = await startApi(running, log)
  /** One that `returns` is silent no longer than it must: whatever it holds, the next one judges as after a crash. */
  const leave = (returns = false): void => {
    // Orderly or not, the guardian decides what becomes of the services; the daemon only goes.
    setTimeout(() => process.exit(0), 3_000).unref()
    void api
      .close()
      .then(() => (returns ? undefined : running.close()))
      .then(() => process.exit(0))
  }
  let successor: Successor | undefined
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.on(signal, () => {
      successor?.giveUp()
      leave()
    })
  process.on('SIGHUP', async () => {
    // An upgrade. Told twice, it starts one.
    if (successor !== undefined) return
    successor = startSuccessor(argv('daemon', config), runFolder)
    const obstacle = await successor.obstacle
    if (obstacle === undefined) return leave(true)
    successor = undefined
    log('error', `no other daemon takes the place of this one, which goes on: ${obstacle}`)
  })
}

/** Offline, on a stopped node: the last way out. Says what it would do; does it only when the node's name is typed. */
async function recover(config: NodeConfig): Promise<void> {
  const { inspectForRecovery, recoverFrom, recoveryText } = await import('./node/index.js')
  const typed = optionValue('--carry-on')
  const reason = optionValue('--reason')
  if (typed === undefined || reason === undefined) {
    process.stdout.write(`${recoveryText(await inspectForRecovery(config))}\n\nnothing was changed. To carry on from this member:\n`)
    process.stdout.write(`  quorate recover --config ${config.file} --carry-on ${config.node} --reason "…"\n`)
    process.exit(1)
  }
  const view = await recoverFrom(config, typed, reason)
  process.stdout.write(`${recoveryText(view)}\n\ndone. Start the node; quorate attention says what it waits for.\n`)
}

function optionValue(option: string): string | undefined {
  const at = rest.indexOf(option)
  return at < 0 ? undefined : rest[at + 1]
}

function fail(error: unknown): never {
  if (error instanceof ClusterError)
    process.stderr.write(`quorate: ${error.code}: ${error.message}${error.fix === undefined ? '' : `\n  next: ${error.fix}`}\n`)
  else process.stderr.write(`quorate: ${error instanceof Error ? error.stack : String(error)}\n`)
  process.exit(cannotRun)
}
