/** A node for tests: a run folder, a real monitor process on it, and a daemon's link to it that remembers what it heard. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
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
import { type ContainmentPreference, openContainment } from '../../src/io/processes/index.js'
import { openRunFolder, type RunFolder } from '../../src/io/run-folder/index.js'

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

export class BenchNode {
  readonly dir = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  readonly runDir = join(this.dir, 'run')
  readonly logDir = join(this.dir, 'log')
  readonly node = 'n1' as NodeId
  readonly boot = `boot-${process.pid}-${Math.random().toString(36).slice(2)}` as BootId
  readonly runFolder: RunFolder = openRunFolder(this.runDir)
  readonly reports: MonitorReport[] = []
  readonly clock = openClock()
  readonly containment: ContainmentPreference
  monitor: ChildProcess | undefined
  #link: MonitorLink | undefined
  #changed: (() => void)[] = []

  constructor(containment: ContainmentPreference = 'auto') {
    this.containment = containment
  }

  config() {
    return { node: this.node, boot: this.boot, runDir: this.runDir, logDir: this.logDir, containment: this.containment }
  }

  startMonitor() {
    const main = fileURLToPath(new URL('./monitor-main.js', import.meta.url))
    this.monitor = spawn(process.execPath, [main, JSON.stringify(this.config())], {
      stdio: ['ignore', 'ignore', 'inherit'],
      detached: true,
    })
    this.#link ??= openMonitorLink(this.runFolder.socket('monitor'), {
      onReport: (report) => {
        this.reports.push(report)
        for (const changed of this.#changed) changed()
      },
      onConnected: () => {},
      onDisconnected: () => {},
    })
  }

  /** kill -9, as a fault would. */
  async killMonitor() {
    const { monitor } = this
    if (monitor === undefined || monitor.exitCode !== null || monitor.signalCode !== null) return
    const ended = new Promise((resolve) => monitor.once('exit', resolve))
    monitor.kill('SIGKILL')
    await ended
  }

  deadline(ms = 3_600_000): BootInstant {
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
        this.#changed = [() => (clearTimeout(timer), resolve())]
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

  pidOf(name: string, resourceName: string): number | undefined {
    const record = this.runFolder.readRecords().readable.find((known) => known.group === name)
    return record?.progress[resourceName as ResourceName]?.processes[0]?.pid
  }

  /** Ends everything of this node, by its own cells, and removes its folders. */
  async close() {
    this.#link?.close()
    await this.killMonitor()
    const containment = openContainment({ preference: this.containment, key: this.runFolder.key, node: this.node })
    for (const record of this.runFolder.readRecords().readable) {
      for (const name of Object.keys(record.resources)) {
        const cell = containment.cell(`${record.group}.${name}`, { QUORATE_GROUP: record.group, QUORATE_RESOURCE: name })
        await cell.kill(5_000)
        cell.remove()
      }
    }
    await containment.killActions(5_000)
    this.clock.close()
    rmSync(this.dir, { recursive: true, force: true })
  }
}
