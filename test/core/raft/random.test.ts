/**
 * Members of `core/raft` under chance: messages lost, doubled and reordered, disks slow, power lost, networks cut.
 *
 * Judged at every step: one leader a term, all apply the same entries in the same order, what one has applied is never
 * lost, and a confirmed reading index is not behind what was committed when it was asked for. After the last fault all
 * must agree within a bounded time. A failure names its seed: QUORATE_SEED=… runs that one alone.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type LogIndex, logIndex, type MemberId, type RequestId, term } from '../../../src/base/index.js'
import { type HardState, type LogEntry, Raft, type RaftEffect, type RaftEvent, type RaftMessage } from '../../../src/core/raft/index.js'
import { Random } from '../../sim/random.js'

const seeds = Number(process.env.QUORATE_RAFT_SEEDS ?? 3_000)
const stepsPerSeed = 400
const quietTicks = 400
const timing = { electionTicksMin: 10, electionTicksMax: 20, heartbeatTicks: 2 }

interface Member {
  readonly id: MemberId
  raft: Raft | undefined
  hardState: HardState
  entries: LogEntry[]
  pending: Extract<RaftEffect, { kind: 'persist' }>[]
  applied: number
}

class World {
  readonly random: Random
  readonly members: Member[]
  private readonly wire: { readonly from: MemberId; readonly to: MemberId; readonly message: RaftMessage }[] = []
  private readonly cuts = new Set<string>()
  private readonly leaders = new Map<number, MemberId>()
  private readonly committed: string[] = []
  private readonly asked = new Map<string, number>()
  private faults = true
  private lives = 0
  private requests = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    const size = this.random.pick([1, 2, 3, 3, 3, 4, 5, 5])
    this.members = Array.from({ length: size }, (_, at) => ({
      id: `m${at}` as MemberId,
      raft: undefined,
      hardState: { term: term(0), votedFor: null },
      entries: [],
      pending: [],
      applied: 0,
    }))
    for (const member of this.members) this.start(member)
  }

  run() {
    for (let step = 0; step < stepsPerSeed; step++) this.something()
    this.faults = false
    this.cuts.clear()
    for (const member of this.members) if (member.raft === undefined) this.start(member)
    this.propose('the last write')
    for (let tick = 0; tick < quietTicks; tick++) this.quietTick(tick)
    const leader = this.members.find((member) => member.raft?.status.role === 'leader')
    assert.ok(leader?.raft !== undefined, 'after the last fault somebody leads')
    for (const { id, raft } of this.members) {
      assert.equal(raft?.status.appliedIndex, leader.raft.status.lastIndex, `after the last fault ${id} has everything`)
    }
  }

  private quietTick(tick: number) {
    for (const member of this.members) this.step(member, [{ kind: 'tick' }])
    for (let moved = 0; this.wire.length > 0 && moved < 500; moved++) this.deliver(0)
    for (const member of this.members) this.persist(member, 100)
    if (tick === quietTicks - 100) this.propose('the very last write')
  }

  private something() {
    const { random } = this
    const member = random.pick(this.members)
    const roll = random.next()
    if (roll < 0.35)
      this.step(
        member,
        Array.from({ length: random.between(1, 4) }, () => ({ kind: 'tick' }) as const),
      )
    else if (roll < 0.8)
      for (let count = random.between(1, 6); count > 0; count--) this.deliver(random.between(0, Math.min(this.wire.length, 8) - 1))
    else if (roll < 0.9) this.persist(member, random.between(1, 3))
    else if (roll < 0.94) this.propose(`write ${this.requests}`)
    else if (roll < 0.955) this.confirm(member)
    else if (roll < 0.965) this.step(member, [{ kind: 'transfer-requested', to: random.pick(this.members).id }])
    else if (roll < 0.975) this.step(member, [{ kind: 'peer-refused', peer: random.pick(this.members).id }])
    else if (roll < 0.985) this.crash(member)
    else if (roll < 0.995 && member.raft === undefined) this.start(member)
    else this.cutOrHeal()
  }

  private start(member: Member) {
    // The applied state may lag behind what was applied before the crash; it is never ahead of the log.
    member.applied = this.random.between(0, Math.min(member.applied, member.entries.length))
    member.raft = new Raft({
      self: member.id,
      configuration: { voters: this.members.map((one) => one.id), learners: [] },
      timing,
      hardState: member.hardState,
      entries: member.entries,
      appliedIndex: logIndex(member.applied),
      seed: 1 + this.random.between(0, 1_000_000) + this.lives++,
    })
  }

  /** Power is lost: of what waited for the disk, a beginning may have got there. */
  private crash(member: Member) {
    if (member.raft === undefined) return
    const whole = this.random.between(0, member.pending.length)
    for (const batch of member.pending.slice(0, whole)) this.write(member, batch, batch.entries.length)
    const torn = member.pending[whole]
    if (torn !== undefined && this.random.chance(0.5)) this.write(member, torn, this.random.between(0, torn.entries.length))
    member.pending = []
    member.raft = undefined
  }

  private persist(member: Member, count: number) {
    if (member.raft === undefined) return
    const done = member.pending.splice(0, count)
    for (const batch of done) this.write(member, batch, batch.entries.length)
    const last = done.at(-1)
    if (last !== undefined) this.step(member, [{ kind: 'persisted', sequence: last.sequence }])
  }

  private write(member: Member, batch: Member['pending'][number], count: number) {
    member.hardState = batch.hardState
    const entries = batch.entries.slice(0, count)
    const first = entries[0]
    if (first !== undefined) member.entries = [...member.entries.slice(0, first.index - 1), ...entries]
  }

  private deliver(at: number) {
    if (this.wire.length === 0) return
    const [taken] = this.wire.splice(Math.max(0, at), 1)
    if (taken === undefined) return
    if (this.faults && this.random.chance(0.08)) return
    if (this.faults && this.random.chance(0.05)) this.wire.push(taken)
    const member = this.members.find((one) => one.id === taken.to)
    if (member !== undefined) this.step(member, [{ kind: 'received', from: taken.from, message: taken.message }])
  }

  private propose(text: string) {
    const leaders = this.members.filter((member) => member.raft?.status.role === 'leader')
    const member = leaders.length === 0 ? this.random.pick(this.members) : this.random.pick(leaders)
    this.step(member, [{ kind: 'proposed', requestId: `${++this.requests}` as RequestId, command: new TextEncoder().encode(text) }])
  }

  private confirm(member: Member) {
    const requestId = `confirm-${++this.requests}` as RequestId
    this.asked.set(requestId, this.committed.length)
    this.step(member, [{ kind: 'confirm-requested', requestId }])
  }

  private cutOrHeal() {
    if (this.random.chance(0.4)) return this.cuts.clear()
    const one = this.random.pick(this.members).id
    for (const { id } of this.members) {
      if (this.random.chance(0.7)) this.cuts.add(`${one}->${id}`)
      if (this.random.chance(0.7)) this.cuts.add(`${id}->${one}`)
    }
  }

  private step(member: Member, events: readonly RaftEvent[]) {
    if (member.raft === undefined) return
    for (const effect of member.raft.step(events)) this.perform(member, effect)
  }

  private perform(member: Member, effect: RaftEffect) {
    switch (effect.kind) {
      case 'persist':
        member.pending.push(effect)
        return
      case 'send':
        if (!this.cuts.has(`${member.id}->${effect.to}`)) this.wire.push({ from: member.id, to: effect.to, message: effect.message })
        return
      case 'apply':
        for (const entry of effect.entries) this.apply(member, entry)
        return
      case 'confirmed':
        assert.ok(
          effect.readIndex >= (this.asked.get(effect.requestId) ?? 0),
          `${member.id} confirms a reading at ${effect.readIndex} although ${this.asked.get(effect.requestId)} was committed`,
        )
        return
      case 'role-changed':
        if (effect.role !== 'leader') return
        assert.equal(this.leaders.get(effect.term) ?? member.id, member.id, `term ${effect.term} has one leader`)
        this.leaders.set(effect.term, member.id)
        return
    }
  }

  private apply(member: Member, entry: LogEntry) {
    assert.equal(entry.index, member.applied + 1, `${member.id} applies in order, each once`)
    assert.ok((member.entries[entry.index - 1]?.term ?? -1) === entry.term, `${member.id} applies only what its disk holds`)
    const shown = show(entry)
    const known = this.committed[entry.index - 1]
    assert.equal(known ?? shown, shown, `all apply the same at ${entry.index}`)
    this.committed[entry.index - 1] = shown
    member.applied = entry.index
  }
}

function show(entry: LogEntry): string {
  return `${entry.index as LogIndex}/${entry.term} ${entry.kind} ${new TextDecoder().decode(entry.data)}`
}

test('chance finds nothing that breaks agreement', () => {
  const only = process.env.QUORATE_SEED
  for (let seed = Number(only ?? 1); seed <= Number(only ?? seeds); seed++) {
    try {
      new World(seed).run()
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
})
