/**
 * Clients that read, write and compare-and-set registers of the store through any node, one call at a time each, and ask
 * again under the same id where they got no answer, or write without an id, several at one moment. What they asked and were told is the
 * history.
 */
import type { LogIndex, RequestId } from '../../src/base/index.js'
import type { Command, CommandResult } from '../../src/core/cluster/index.js'
import type { SimDaemon } from './daemon.js'
import { History } from './history.js'
import type { Random } from './random.js'
import type { World } from './world.js'

interface Known {
  readonly value: string | null
  readonly revision: LogIndex | 0
}

interface RegisterRow {
  readonly value: unknown
  readonly revision: LogIndex
}

/** After so many calls another key is used. */
const callsPerKey = 38
const keysAtOnce = 2
const attemptTimeout = 250
const attemptsMax = 4

export class RegisterClients {
  readonly history = new History()
  answered = 0
  private readonly world: World
  private readonly random: Random
  private readonly pause: number
  private processes = 0
  private values = 0
  private keys: { readonly name: string; calls: number }[] = []
  private keyCount = 0
  /** What some client last saw, by key: what a compare-and-set expects. */
  private readonly known = new Map<string, Known>()
  private over = false

  /** `pause`: mean milliseconds between two calls of one client. */
  constructor(world: World, random: Random, pause: number) {
    this.world = world
    this.random = random
    this.pause = pause
  }

  begin(count: number): void {
    for (let client = 0; client < count; client++) this.next(this.processes++)
  }

  /** No new calls; those that are under way get `info` where no answer comes. */
  end(): void {
    this.over = true
  }

  private next(process: number): void {
    this.world.scheduler.after(this.random.next() * 2 * this.pause, () => {
      if (this.over) return
      const roll = this.random.next()
      const key = this.key()
      if (roll < 0.4) this.read(process, key)
      else if (roll < 0.6) this.write(process, key)
      else if (roll < 0.75) this.burst(process, key)
      else this.compareAndSet(process, key)
    })
  }

  private key(): string {
    this.keys = this.keys.filter((key) => key.calls < callsPerKey)
    while (this.keys.length < keysAtOnce) this.keys.push({ name: `r${++this.keyCount}`, calls: 0 })
    const key = this.random.pick(this.keys)
    key.calls++
    return key.name
  }

  private get somebody(): SimDaemon | undefined {
    const there = this.world.machines.flatMap(({ daemon }) => (daemon?.process.alive === true && daemon.node !== undefined ? [daemon] : []))
    return there.length === 0 ? undefined : this.random.pick(there)
  }

  private read(process: number, key: string): void {
    const { node } = this.somebody ?? {}
    if (node === undefined) return this.next(process)
    this.tell(process, 'invoke', 'read', key, null)
    const end = this.once(attemptTimeout * 2 + 100, (row: RegisterRow | null | undefined) => {
      if (row === undefined) this.tell(process, 'info', 'read', key, null)
      else {
        this.answered++
        this.learn(key, { value: row === null ? null : String(row.value), revision: row?.revision ?? 0 })
        this.tell(process, 'ok', 'read', key, row === null ? null : String(row.value))
      }
      this.next(row === undefined ? this.processes++ : process)
    })
    node.readBarrier(attemptTimeout * 2, (outcome) =>
      end(outcome.ok ? ((node.state.get('store', key) as RegisterRow | undefined) ?? null) : undefined),
    )
  }

  private write(process: number, key: string): void {
    const value = `v${++this.values}`
    this.change(process, 'write', key, value, value, {})
  }

  /** Several that write at one moment through one node, and do not ask again: their writes may travel as one. */
  private burst(process: number, key: string): void {
    const daemon = this.somebody
    if (daemon === undefined) return this.next(process)
    for (let more = this.random.between(1, 4); more > 0; more--) this.writeOnce(daemon, this.processes++, this.key(), () => undefined)
    this.writeOnce(daemon, process, key, (isKnown) => this.next(isKnown ? process : this.processes++))
  }

  private writeOnce(daemon: SimDaemon, process: number, key: string, over: (isKnown: boolean) => void): void {
    const value = `v${++this.values}`
    this.tell(process, 'invoke', 'write', key, value)
    const end = this.once(attemptTimeout + 100, (result: CommandResult | undefined) => {
      if (result !== undefined) this.answered++
      this.tell(process, result === undefined ? 'info' : result.ok ? 'ok' : 'fail', 'write', key, value)
      if (result?.ok) this.learn(key, { value, revision: result.index })
      over(result !== undefined)
    })
    daemon.submit({ kind: 'store', operations: [{ kind: 'put', key, value }] }, { timeoutMs: attemptTimeout }, (outcome) =>
      end(outcome.ok ? outcome.value : undefined),
    )
  }

  private compareAndSet(process: number, key: string): void {
    const known = this.known.get(key) ?? { value: null, revision: 0 as const }
    const value = `v${++this.values}`
    this.change(process, 'cas', key, [known.value, value], value, { ifRevision: known.revision as LogIndex })
  }

  private change(
    process: number,
    f: 'write' | 'cas',
    key: string,
    told: string | readonly [string | null, string],
    value: string,
    precondition: { readonly ifRevision?: LogIndex },
  ): void {
    const command: Command = { kind: 'store', operations: [{ kind: 'put', key, value, ...precondition }] }
    this.tell(process, 'invoke', f, key, told)
    this.attempt(command, `client-${value}` as RequestId, attemptsMax, (result) => {
      if (result === undefined) this.tell(process, 'info', f, key, told)
      else {
        this.answered++
        this.tell(process, result.ok ? 'ok' : 'fail', f, key, told)
        if (result.ok) this.learn(key, { value, revision: result.index })
      }
      this.next(result === undefined ? this.processes++ : process)
    })
  }

  /** A request id makes asking again harmless (thesis §6.3; R66). */
  private attempt(command: Command, requestId: RequestId, left: number, done: (result: CommandResult | undefined) => void): void {
    const daemon = this.somebody
    const again = (): void => {
      if (left <= 1) return done(undefined)
      this.world.scheduler.after(5 + this.random.next() * 60, () => this.attempt(command, requestId, left - 1, done))
    }
    if (daemon === undefined) return again()
    const end = this.once(attemptTimeout + 100, (result: CommandResult | undefined) => (result === undefined ? again() : done(result)))
    daemon.submit(command, { requestId, fingerprint: requestId, timeoutMs: attemptTimeout }, (outcome) =>
      end(outcome.ok ? outcome.value : undefined),
    )
  }

  /** Whoever was asked may die or stop: then nothing comes. */
  private once<Value>(bound: number, done: (value: Value | undefined) => void): (value: Value | undefined) => void {
    let over = false
    const end = (value: Value | undefined): void => {
      if (over) return
      over = true
      done(value)
    }
    this.world.scheduler.after(bound, () => end(undefined))
    return end
  }

  private learn(key: string, known: Known): void {
    if (known.revision >= (this.known.get(key)?.revision ?? 0)) this.known.set(key, known)
  }

  private tell(
    process: number,
    type: 'invoke' | 'ok' | 'fail' | 'info',
    f: 'read' | 'write' | 'cas',
    key: string,
    value: string | null | readonly [string | null, string],
  ): void {
    this.history.add({ process, type, f, key, value, time: this.world.scheduler.now })
  }
}
