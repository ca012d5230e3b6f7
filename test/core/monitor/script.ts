/** Drives a `MonitorCore` by hand and shows what it wants done as lines of text. */
import assert from 'node:assert/strict'
import {
  type BootId,
  type BootInstant,
  bootInstant,
  type GroupName,
  type NodeId,
  type ResourceName,
  type Token,
} from '../../../src/base/index.js'
import type { ResourceDefinition } from '../../../src/core/cluster/index.js'
import {
  type ContainmentPlace,
  type GroupReport,
  type MethodRequest,
  type MethodResult,
  MonitorCore,
  type MonitorEffect,
  type MonitorEvent,
  type MonitorOrder,
  type RunRecord,
} from '../../../src/core/monitor/index.js'

export const node = 'n1' as NodeId
export const boot = 'boot-1' as BootId
export const g = 'g' as GroupName
export const named = (name: string) => name as ResourceName
export const token = (value: number) => value as Token

type Definitions = Readonly<Record<string, Partial<ResourceDefinition> & Pick<ResourceDefinition, 'type' | 'parameters'>>>

/** `kept` is a foreground command, `agent` one with start, stop and probe; `after` are its dependencies. */
export const kept = (...after: string[]) => ({ type: 'command', parameters: { run: 'x' }, dependsOn: after.map(named) })
export const agent = (...after: string[]) => ({ type: 'ocf:test:Agent', parameters: {}, dependsOn: after.map(named) })

export function definitions(short: Definitions): RunRecord['resources'] {
  const defaults = {
    dependsOn: [],
    probe: { interval: 1_000, timeout: 500 },
    start: { timeout: 2_000 },
    stop: { timeout: 2_000 },
    restart: { max: 3, window: 900_000 },
  }
  return Object.fromEntries(Object.entries(short).map(([name, definition]) => [name, { ...defaults, ...definition }]))
}

export class Script {
  readonly core: MonitorCore
  now = bootInstant(1_000)
  records = new Map<GroupName, RunRecord>()
  seals = new Map<GroupName, Token>()
  readonly deadline: BootInstant
  /** What the core wanted when it resumed. */
  readonly lines: string[]

  /** `before` is the monitor whose run folder this one finds. */
  constructor(containment: ContainmentPlace['kind'] = 'cgroup2', before?: Script, deadline = 1_000_000) {
    this.deadline = bootInstant(deadline)
    this.core = new MonitorCore({ node, boot, containment: { kind: containment, root: '/cells' }, jitterSeed: 1 })
    if (before !== undefined) {
      this.now = before.now
      this.records = new Map(before.records)
      this.seals = before.seals
    }
    this.lines = this.step({
      kind: 'resumed',
      records: [...this.records.values()],
      unreadable: [],
      seals: this.seals,
      deadline: this.deadline,
    })
  }

  step(event: MonitorEvent): string[] {
    return this.core.step(event, this.now).flatMap((effect) => this.#show(effect))
  }

  order(order: MonitorOrder): string[] {
    return this.step({ kind: 'ordered', order })
  }

  run(resources: Definitions, more: Partial<Extract<MonitorOrder, { kind: 'run' }>> = {}): string[] {
    return this.order({
      kind: 'run',
      group: g,
      token: token(1),
      sequence: 1,
      resources: definitions(resources),
      node,
      boot,
      deadline: this.deadline,
      checkpoints: {},
      ...more,
    })
  }

  stop(sequence = 9, of = 1): string[] {
    return this.order({ kind: 'stop', group: g, token: token(of), sequence })
  }

  done(action: number, result: MethodResult | MethodResult['outcome'] = 'done'): string[] {
    const whole = typeof result === 'string' ? ({ outcome: result, detail: 'because' } as MethodResult) : result
    return this.step({ kind: 'method-done', action, result: whole })
  }

  killed(action: number, empty = true): string[] {
    return this.step({ kind: 'killed', action, empty })
  }

  /** The process of a start, or of what a start left behind. */
  spawned(action: number, pid: number): string[] {
    return this.step({ kind: 'spawned', action, process: { pid, startTime: pid } })
  }

  learnt(resource: string, ...pids: number[]): string[] {
    const processes = pids.map((pid) => ({ pid, startTime: pid }))
    return this.step({ kind: 'learnt', group: g, resource: named(resource), processes })
  }

  ended(resource: string, pid: number): string[] {
    return this.step({
      kind: 'ended',
      group: g,
      resource: named(resource),
      process: { pid, startTime: pid },
      detail: 'it was killed by SIGKILL',
    })
  }

  /** Time passes until the core has something to do. */
  wake(limit = 10_000): string[] {
    const next = this.core.nextWake()
    assert.ok(next !== undefined && next <= this.now + limit, 'the core waits for a time')
    this.now = next
    return this.step({ kind: 'woke' })
  }

  passes(span: number): string[] {
    this.now = bootInstant(this.now + span)
    return this.step({ kind: 'woke' })
  }

  #show(effect: MonitorEffect): string[] {
    switch (effect.kind) {
      case 'write-record':
        this.records.set(effect.record.group, JSON.parse(JSON.stringify(effect.record)))
        return ['record']
      case 'forget-scores':
        return ['forget scores']
      case 'delete-record':
        this.records.delete(effect.group)
        return ['delete record']
      case 'seal':
        this.seals.set(effect.group, effect.token)
        return [`seal ${effect.token}`]
      case 'begin':
        return [`${effect.action} ${showDepth(effect.request)}${effect.request.method} ${effect.request.resource}`]
      case 'kill':
        return [`${effect.action} kill ${effect.resource}`]
      case 'cancel':
        return [`cancel ${effect.action}`]
      case 'watch':
        return [`watch ${effect.resource}${effect.learn ? ', learn' : effect.processes.map(({ pid }) => ` ${pid}`).join('')}`]
      case 'unwatch':
        return [`unwatch ${effect.resource}`]
      case 'report':
        return effect.report.kind === 'group' ? [showGroup(effect.report)] : [showOther(effect.report)]
      case 'write-checkpoints':
        return []
      case 'call':
        return [`call ${effect.call.callId}`]
      case 'call-release':
      case 'call-cancel':
        return [`${effect.kind} ${effect.callId}`]
      case 'log':
        return [`log ${effect.text}`]
    }
  }
}

function showGroup(report: GroupReport): string {
  const resources = Object.entries(report.resources).map(([name, { state }]) => `${name}=${state}`)
  const { failure } = report
  const why = failure === undefined ? '' : ` — ${failure.resource} ${failure.event} (${failure.restartNumber}): ${failure.detail}`
  const looked = report.looked === undefined ? '' : `, looked ${report.looked}`
  return `says ${[report.state, ...resources].join(' ')}${why}${looked}`
}

function showOther(report: Exclude<Extract<MonitorEffect, { kind: 'report' }>['report'], { kind: 'group' }>): string {
  switch (report.kind) {
    case 'sealed':
      return `says sealed ${report.token}`
    case 'hello':
      return `hello ${JSON.stringify(Object.fromEntries(report.groups.map(({ group, state }) => [group, state])))} sealed ${JSON.stringify(report.sealed)}`
    case 'probed':
      return `probed ${report.probeId} ${report.result}`
    case 'called':
      return `called ${report.callId} ${report.outcome}`
    case 'beat':
      return 'beat'
    case 'looked':
      return `looked ${report.lookId} ${report.found.result}, ${report.found.state}`
    case 'asked':
      return `asked ${report.askId}`
    case 'captured':
      return `captured ${report.group}`
  }
}

/** Compares lines with a text block. */
export function shows(lines: readonly string[], expected: string) {
  const wanted = expected
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  assert.deepEqual(lines, wanted)
}

function showDepth({ deep }: MethodRequest): string {
  if (deep === undefined) return ''
  return deep.level === undefined ? 'deep ' : `deep ${deep.level} `
}
