/** Carries out what `MonitorCore` wants: a loop with no opinions. What takes time comes back as an event. */
import { type BootInstant, type GroupName, type ResourceName, unreachable } from '../base/index.js'
import type { MonitorEffect, MonitorEvent, MonitorReport } from '../core/monitor/index.js'
import { type Agents, beginCall, type Method } from '../io/agents/index.js'
import { type Action, type ActionOutcome, type Containment, outputMax } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'
import type { CarriedFiles } from './carried.js'
import { writeCheckpoints } from './checkpoints.js'
import type { ReadyPrograms } from './ready.js'

export interface PerformerWorld {
  readonly runFolder: RunFolder
  readonly containment: Containment
  readonly agents: Agents
  readonly ready: ReadyPrograms
  /** That of the lease, as it is known now: it may be renewed while a start waits for its turn. */
  readonly deadline: () => BootInstant
  readonly carried: CarriedFiles
  /** Puts an event into the inbox. */
  readonly post: (event: MonitorEvent) => void
  readonly report: (report: MonitorReport) => void
  readonly log: (text: string) => void
  readonly forgetScores: (group: GroupName) => void
}

/** How long the dead may take to be gone. */
const killMax = 10_000

export class Performer {
  readonly #world: PerformerWorld
  readonly #methods = new Map<number, Method>()
  readonly #calls = new Map<string, Action>()

  constructor(world: PerformerWorld) {
    this.#world = world
  }

  perform(effect: MonitorEffect) {
    const { runFolder, agents, post } = this.#world
    switch (effect.kind) {
      case 'write-record':
        runFolder.writeRecord(effect.record)
        return this.#world.carried.onRecord(effect.record)
      case 'seal':
        return runFolder.seals.seal(effect.group, effect.token)
      case 'delete-record':
        runFolder.deleteRecord(effect.group, effect.token)
        return this.#world.carried.onDeleted(effect.group)
      case 'forget-scores':
        return this.#world.forgetScores(effect.group)
      case 'write-checkpoints':
        return writeCheckpoints(runFolder, effect)
      case 'begin':
        return this.#begin(effect)
      case 'cancel':
        return this.#methods.get(effect.action)?.cancel()
      case 'kill':
        void agents.kill(effect, killMax).then((empty) => post({ kind: 'killed', action: effect.action, empty }))
        return
      case 'watch':
        return agents.watch(effect, effect.processes, effect.learn)
      case 'unwatch':
        return agents.unwatch(effect.group, effect.resource)
      case 'call':
        return this.#call(effect.call)
      case 'call-release':
        return this.#calls.get(effect.callId)?.release()
      case 'call-cancel':
        return this.#calls.get(effect.callId)?.cancel()
      case 'report':
        return this.#world.report(effect.report)
      case 'log':
        return this.#world.log(effect.text)
      default:
        return unreachable(effect)
    }
  }

  #begin(effect: Extract<MonitorEffect, { kind: 'begin' }>) {
    const { agents, post } = this.#world
    const { action } = effect
    if (effect.request.method === 'start' && this.#putsBackFirst(effect)) return
    const method = agents.begin(effect.request, this.#world.deadline, (process) => post({ kind: 'spawned', action, process }))
    this.#methods.set(action, method)
    void method.result.then((result) => {
      this.#methods.delete(action)
      post({ kind: 'method-done', action, result })
    })
  }

  /** What the last holder has left is in its place before anything starts. */
  #putsBackFirst(effect: Extract<MonitorEffect, { kind: 'begin' }>): boolean {
    const { carried, post, runFolder } = this.#world
    const { action } = effect
    const { group, token } = effect.request
    const resources = Object.keys(runFolder.readRecord(group, token)?.resources ?? {}) as ResourceName[]
    const ready = carried.ready({ group, token, resources })
    if (ready === undefined) return false
    let isCancelled = false
    const cancel = () => {
      isCancelled = true
    }
    this.#methods.set(action, { result: new Promise(() => {}), cancel })
    void ready.then((problem) => {
      this.#methods.delete(action)
      if (isCancelled) post({ kind: 'method-done', action, result: { outcome: 'cancelled' } })
      else if (problem === undefined) this.#begin(effect)
      else post({ kind: 'method-done', action, result: { outcome: 'failed', severity: 'hard', nothingBegun: true, detail: problem } })
    })
    return true
  }

  #call(call: Extract<MonitorEffect, { kind: 'call' }>['call']) {
    const { runFolder, containment, ready, post } = this.#world
    let action: Action
    try {
      action = (call.hold ? ready.take(call) : undefined) ?? beginCall(call, runFolder, containment)
    } catch (error) {
      const outcome = { outcome: 'failed-to-start', stdout: '', stderr: String(error), elapsedMs: 0 } as const
      return post({ kind: 'called', callId: call.callId, outcome })
    }
    this.#calls.set(call.callId, action)
    void action.done.then((outcome) => {
      this.#calls.delete(call.callId)
      post({ kind: 'called', callId: call.callId, outcome: answerOf(outcome) })
    })
  }
}

function answerOf(outcome: ActionOutcome): Extract<MonitorEvent, { kind: 'called' }>['outcome'] {
  const { kind, code, stdout, stderr, elapsedMs } = outcome
  return {
    outcome: kind === 'sealed' ? 'failed-to-start' : kind,
    ...(kind === 'exited' && code !== undefined ? { code } : {}),
    stdout: stdout.slice(0, outputMax),
    stderr: stderr.slice(0, outputMax),
    elapsedMs,
  }
}
