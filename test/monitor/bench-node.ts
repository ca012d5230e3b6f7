/** A node for tests: a run folder, a real monitor process on it, and a daemon's link to it that remembers what it heard. */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type BootId,
  type BootInstant,
  bootInstant,
  type GroupName,
  type NodeId,
  type ResourceName,
  type Token,
} from '../../src/base/index.js'
import type { GroupDefinition, ResourceDefinition } from '../../src/core/cluster/index.js'
import type { GroupReport, MonitorOrder, MonitorReport } from '../../src/core/monitor/index.js'
import { openClock } from '../../src/io/clock/index.js'
import { type MonitorLink, openMonitorLink } from '../../src/io/monitor-link/index.js'
import { type ContainmentPreference, isAlive, openContainment, signalProcess, waitUntil } from '../../src/io/processes/index.js'
import { openRunFolder, type RunFolder } from '../../src/io/run-folder/index.js'

import { testVariable } from './end-with-test.js'

process.env[testVariable] = String(process.pid)

export const group = (name: string) => name as GroupName
export const token = (value: number) => value as Token

export function resource(definition: Partial<ResourceDefinition> & Pick<ResourceDefinition, 'type' | 'parameters'>): ResourceDefinition {
  return {
    dependsOn: [],
    probe: { interval: 60_000, timeout: 5_000 },
    start: { timeout: 10_000 },
    stop: { timeout: 10_000 },
    restart: { max: 3, window: 900_000 },
    ...definition,
  }
}

type RunOptions = Partial<Omit<Extract<MonitorOrder, { kind: 'run' }>, 'kind' | 'resources' | 'group'>>

interface GuardianOptions {
  readonly lease?: number
  readonly port?: number
  readonly emergencyStop?: number
  readonly addresses?: readonly string[]
  readonly watchdog?: string
}

export class BenchNode {
  readonly secret = 'a secret of the tests'
  readonly dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  readonly runDir = join(this.dir, 'run')
  readonly logDir = join(this.dir, 'log')
  readonly node = 'n1' as NodeId
  readonly boot = `boot-${process.pid}-${Math.random().toString(36).slice(2)}` as BootId
  readonly runFolder: RunFolder = openRunFolder(this.runDir)
  readonly reports: MonitorReport[] = []
  readonly clock = openClock()
  readonly containment: ContainmentPreference
  readonly prefix: readonly string[]
  monitor: ChildProcess | undefined
  /** Milliseconds that orders to the monitor may still be carried out. */
  lease = 3_600_000
  #link: MonitorLink | undefined
  #changed: (() => void)[] = []
  readonly #guardians: ChildProcess[] = []

  /** `prefix` is put before the monitor's program, and the guardian's, such as `ip netns exec x`. */
  constructor(containment: ContainmentPreference = 'auto', prefix: readonly string[] = []) {
    this.containment = containment
    this.prefix = prefix
  }

  config() {
    return { node: this.node, boot: this.boot, runDir: this.runDir, logDir: this.logDir, containment: this.containment }
  }

  startMonitor() {
    const main = fileURLToPath(new URL('./monitor-main.js', import.meta.url))
    const [program = '', ...rest] = [...this.prefix, process.execPath, main, JSON.stringify(this.config())]
    this.monitor = spawn(program, rest, {
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    })
    this.#connect()
  }

  #connect() {
    this.#link ??= openMonitorLink(this.runFolder.socket('monitor'), {
      onReport: (report) => {
        this.reports.push(report)
        for (const changed of this.#changed) changed()
      },
      onConnected: () => this.order({ kind: 'deadline', deadline: this.deadline() }), // As every daemon does.
      onDisconnected: () => {},
    })
  }

  /** A guardian, which starts the monitor and a daemon that only renews the lease. */
  startGuardian(options: GuardianOptions = {}) {
    const [program = '', ...rest] = this.guardianArgv(options)
    mkdirSync(this.logDir, { recursive: true })
    const log = openSync(join(this.logDir, 'guardian.log'), 'a')
    const guardian = spawn(program, rest, { stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    this.#guardians.push(guardian)
    this.#connect()
    return guardian
  }

  /** To a monitor that somebody else starts. */
  listen() {
    this.#connect()
  }

  guardianArgv(options: GuardianOptions = {}): readonly string[] {
    const { lease = 1_000, port = 0, emergencyStop = 5_000, addresses = [], watchdog } = options
    const main = (path: string) => fileURLToPath(new URL(path, import.meta.url))
    const config = {
      ...this.config(),
      secret: this.secret,
      guardian: { addresses, port },
      emergencyStop,
      leaveTimeout: 2_000,
      ...(watchdog === undefined ? {} : { watchdog }),
      monitorArgv: [process.execPath, main('./monitor-main.js'), JSON.stringify(this.config())],
      daemonArgv: [process.execPath, main('../guardian/daemon-main.js'), JSON.stringify({ runDir: this.runDir, boot: this.boot, lease })],
    }
    return [...this.prefix, process.execPath, main('../guardian/guardian-main.js'), JSON.stringify(config)]
  }

  pid(role: 'guardian' | 'daemon' | 'monitor'): number | undefined {
    const known = this.runFolder.readPid(role)
    return known !== undefined && isAlive(known) ? known.pid : undefined
  }

  signal(role: 'guardian' | 'daemon' | 'monitor', signal: NodeJS.Signals) {
    const known = this.runFolder.readPid(role)
    if (known !== undefined) signalProcess(known, signal)
  }

  log(role: string): string {
    try {
      return readFileSync(join(this.logDir, `${role}.log`), 'utf8')
    } catch {
      return ''
    }
  }

  /** kill -9, as a fault would. */
  async killMonitor() {
    const { monitor } = this
    if (monitor === undefined || monitor.exitCode !== null || monitor.signalCode !== null) return
    const ended = new Promise((resolve) => monitor.once('exit', resolve))
    monitor.kill('SIGKILL')
    await ended
  }

  deadline(ms = this.lease): BootInstant {
    return bootInstant(this.clock.boot() + ms)
  }

  order(order: MonitorOrder) {
    this.#link?.send(order)
  }

  run(name: string, resources: Record<string, ResourceDefinition>, options: RunOptions = {}) {
    this.order({
      kind: 'run',
      group: group(name),
      token: token(1),
      sequence: 1,
      resources: resources as GroupDefinition['resources'],
      node: this.node,
      boot: this.boot,
      deadline: this.deadline(),
      checkpoints: {},
      ...options,
    })
  }

  /** Waits until `done` holds; for what nobody reports. */
  async eventually(what: string, done: () => boolean, limit = 20_000) {
    if (!(await waitUntil(done, limit, 10))) throw new Error(`waited ${limit} ms for ${what}`)
  }

  /** Has it probed now: what a first probe after the start does not find is taken for a start that failed. */
  async look(name: string, of: string) {
    const lookId = `look-${this.reports.length}`
    this.order({ kind: 'look', lookId, group: group(name), resource: of as ResourceName, deep: false })
    await this.until('the look', (report) => report.kind === 'looked' && report.lookId === lookId)
  }

  stop(name: string, ofToken = 1, sequence = 100) {
    this.order({ kind: 'stop', group: group(name), token: token(ofToken), sequence })
  }

  /** Waits for a report for which `fits` holds, from the `from`th on. */
  async until<Report extends MonitorReport = MonitorReport>(
    what: string,
    fits: (report: MonitorReport) => boolean,
    from = 0,
    limit = 20_000,
  ): Promise<Report> {
    const end = performance.now() + limit
    for (let at = from; ; ) {
      for (; at < this.reports.length; at++) {
        const report = this.reports[at] as MonitorReport
        if (fits(report)) return report as Report
      }
      if (performance.now() > end)
        throw new Error(`waited ${limit} ms for ${what}; heard ${JSON.stringify(this.reports.slice(-5), null, 1)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 500)
        this.#changed = [
          () => {
            clearTimeout(timer)
            resolve()
          },
        ]
      })
    }
  }

  hello(from = 0) {
    return this.until<Extract<MonitorReport, { kind: 'hello' }>>('hello', (report) => report.kind === 'hello', from)
  }

  groupIs(name: string, state: GroupReport['state'], from = 0, more: (report: GroupReport) => boolean = () => true) {
    return this.until<{ kind: 'group' } & GroupReport>(
      `${name} to be ${state}`,
      (report) => report.kind === 'group' && report.group === name && report.state === state && more(report),
      from,
    )
  }

  /** The failure of a group, whether told by itself or in the first words of a new monitor. */
  async failureOf(name: string, from = 0) {
    const within = (report: MonitorReport) => (report.kind === 'hello' ? report.groups : report.kind === 'group' ? [report] : [])
    const failure = (report: MonitorReport) => within(report).find((said) => said.group === name)?.failure
    return failure(await this.until(`${name} to have failed`, (report) => failure(report) !== undefined, from))
  }

  pidOf(name: string, resourceName: string): number | undefined {
    const record = this.runFolder.readRecords().readable.find((known) => known.group === name)
    return record?.progress[resourceName as ResourceName]?.processes[0]?.pid
  }

  /** The start in flight, as the run record knows it: what a successor can wait for. */
  startingOf(name: string, resourceName: string): number | undefined {
    const record = this.runFolder.readRecords().readable.find((known) => known.group === name)
    return record?.progress[resourceName as ResourceName]?.starting?.pid
  }

  /** Ends everything of this node, by its own cells, and removes its folders. */
  async close() {
    this.#link?.close()
    for (const guardian of this.#guardians) guardian.kill('SIGKILL')
    for (const role of ['guardian', 'daemon', 'monitor'] as const) this.signal(role, 'SIGKILL')
    await this.killMonitor()
    const containment = openContainment({ preference: this.containment, key: this.runFolder.key, node: this.node })
    for (const record of this.runFolder.readRecords().readable) {
      for (const name of Object.keys(record.resources)) {
        const cell = containment.cell(`${record.group}@${name}`, { QUORATE_GROUP: record.group, QUORATE_RESOURCE: name })
        await cell.kill(5_000)
        cell.remove()
      }
    }
    await containment.killActions(5_000)
    containment.remove()
    this.clock.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
