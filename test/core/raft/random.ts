/**
 * Members of `core/raft` under chance: messages lost, doubled and reordered, disks slow, power lost, networks cut, members
 * added, promoted and removed, logs compacted and snapshots sent.
 *
 * Judged at every step: one leader a term, all apply the same entries in the same order, what one has applied is never
 * lost, and a confirmed reading index is not behind what was committed when it was asked for. After the last fault all
 * must agree within a bounded time. A failure names its seed: QUORATE_SEED=… runs that one alone.
 */
import assert from 'node:assert/strict'
import { type LogIndex, logIndex, type MemberId, type RequestId, term } from '../../../src/base/index.js'
import {
  type Configuration,
  type HardState,
  type LogEntry,
  type LogPosition,
  membersOf,
  Raft,
  type RaftEffect,
  type RaftEvent,
  type RaftMessage,
  type SnapshotMeta,
} from '../../../src/core/raft/index.js'
import { appendBytesMax } from '../../../src/core/raft/progress.js'
import { Random } from '../../sim/random.js'

const stepsPerSeed = 400
const quietTicks = 600
/** Members that may be added to those that begin. */
const spares = 3
const timing = { electionTicksMin: 10, electionTicksMax: 20, heartbeatTicks: 2 }

interface Member {
  readonly id: MemberId
  raft: Raft | undefined
  hardState: HardState
  base: LogPosition
  entries: LogEntry[]
  pending: Extract<RaftEffect, { kind: 'persist' }>[]
  /** Everything applied, in order, and where the state stands. */
  state: readonly string[]
  meta: SnapshotMeta
  /** As it was written last: what a crash may fall back to. */
  stored: { readonly state: readonly string[]; readonly meta: SnapshotMeta }
  /** A snapshot that comes in. */
  incoming: { readonly source: string; readonly rows: string[] } | undefined
  /** Snapshots being read, by receiver. */
  readonly reading: Map<string, { readonly state: readonly string[]; readonly meta: SnapshotMeta; at: number; sequence: number }>
  /** What the shell has been told and has not answered. */
  readonly answers: RaftEvent[]
}

const start: LogPosition = { index: logIndex(0), term: term(0) }

export class RaftWorld {
  readonly random: Random
  readonly members: Member[]
  private readonly first: Configuration
  private readonly wire: { readonly from: MemberId; readonly to: MemberId; readonly message: RaftMessage }[] = []
  private readonly cuts = new Set<string>()
  private readonly leaders = new Map<number, MemberId>()
  private readonly committed: string[] = []
  private readonly asked = new Map<string, number>()
  /** What this run has met. */
  readonly seen = new Set<string>()
  /** Whether it changes its members by the half. */
  private readonly reshapes: boolean
  /** How often the short stories below are told, for which blind chance would need too long. */
  private readonly stories: number
  /** Whether an entry fills a message of its own: only then does a follower ever match the middle of a leader's log (figure 8). */
  private readonly isLarge: boolean
  private faults = true
  private lives = 0
  private requests = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    const size = this.random.pick([1, 2, 3, 3, 3, 4, 5, 5])
    this.reshapes = this.random.chance(0.4)
    this.stories = this.random.pick([0, 0.01, 0.05])
    this.isLarge = this.stories > 0 && this.random.chance(0.3)
    this.members = Array.from({ length: size + spares }, (_, at) => ({
      id: `m${at}` as MemberId,
      raft: undefined,
      hardState: { term: term(0), votedFor: null },
      base: start,
      entries: [],
      pending: [],
      state: [],
      meta: { ...start, configuration: null },
      stored: { state: [], meta: { ...start, configuration: null } },
      incoming: undefined,
      reading: new Map(),
      answers: [],
    }))
    this.first = { voters: this.members.slice(0, size).map((one) => one.id), learners: [], outgoing: [], places: {} }
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
    assert.ok(!leader.raft.status.isChanging, 'after the last fault no change of the configuration hangs')
    const { configuration } = leader.raft.status
    for (const { id, raft, state } of this.members) {
      if (!membersOf(configuration).includes(id)) continue
      assert.equal(raft?.status.appliedIndex, leader.raft.status.lastIndex, `after the last fault ${id} has everything`)
      assert.deepEqual(state, leader.state, `after the last fault ${id} has the same state`)
      assert.deepEqual(raft?.status.configuration, configuration, `after the last fault ${id} goes by the same configuration`)
    }
  }

  private quietTick(tick: number) {
    for (const member of this.members) this.step(member, [{ kind: 'tick' }])
    for (let moved = 0; this.wire.length > 0 && moved < 500; moved++) this.deliver(0)
    for (const member of this.members) {
      this.persist(member, 100)
      this.answer(member, 100)
    }
    if (tick === quietTicks - 100) this.propose('the very last write')
  }

  private something() {
    const { random } = this
    const member = random.pick(this.members)
    if (random.chance(this.stories)) return this.story()
    const roll = random.next()
    if (roll < 0.35)
      this.step(
        member,
        Array.from({ length: random.between(1, 4) }, () => ({ kind: 'tick' }) as const),
      )
    else if (roll < 0.8)
      for (let count = random.between(1, 6); count > 0; count--) this.deliver(random.between(0, Math.min(this.wire.length, 8) - 1))
    else if (roll < 0.87) this.persist(member, random.between(1, 3))
    else if (roll < 0.9) this.answer(member, random.between(1, 3))
    else if (roll < 0.93) this.propose(`write ${this.requests}`)
    else if (roll < (this.reshapes ? 0.94 : 0.935)) this.reconfigure()
    else if (roll < 0.955) this.compact(member)
    else if (roll < 0.96) this.confirm(member)
    else if (roll < 0.965) this.step(member, [{ kind: 'transfer-requested', to: random.pick(this.members).id }])
    else if (roll < 0.975) this.step(member, [{ kind: 'peer-refused', peer: random.pick(this.members).id }])
    else if (roll < 0.98) this.crash(member)
    else if (roll < 0.99 && member.raft === undefined) this.start(member)
    else this.cutOrHeal()
  }

  /** What blind chance would need too long for: only its beginnings, for how it goes on is chance again. */
  private story() {
    const { random } = this
    const roll = random.next()
    if (roll < 0.3) this.loneLeader()
    else if (roll < 0.55) this.election()
    else if (roll < 0.75) this.collision()
    else if (roll < 0.85) this.oldEntry()
    else if (this.reshapes) this.reshapeWhileParted()
    else this.calm(random.between(5, 20))
  }

  /** A leader is cut off right after it has appended. */
  private loneLeader() {
    const { random } = this
    const leader = this.leading
    if (leader === undefined) return
    const spared = random.chance(0.7) ? random.pick(this.members) : undefined
    this.cuts.clear()
    for (const { id } of this.members) if (id !== spared?.id) this.cuts.add(`${leader.id}->${id}`)
    if (random.chance(0.3)) this.reconfigure()
    for (let count = random.between(0, 3); count > 0; count--) this.propose(`write ${this.requests}`)
    this.persist(leader, 100)
    for (let rounds = random.between(0, 3); rounds > 0 && spared !== undefined; rounds--) this.between(leader, spared)
    if (random.chance(0.6)) this.crash(leader)
    else for (const { id } of this.members) this.cuts.add(`${id}->${leader.id}`)
  }

  /** Everything that the two have said to each other arrives, and is written, unless told otherwise. */
  private between(one: Member, other: Member, isWritten = true) {
    for (const taken of this.wire.filter(({ from, to }) => (from === one.id && to === other.id) || (from === other.id && to === one.id))) {
      this.wire.splice(this.wire.indexOf(taken), 1)
      this.step(taken.to === one.id ? one : other, [{ kind: 'received', from: taken.from, message: taken.message }])
    }
    if (!isWritten) return
    this.persist(one, 100)
    this.persist(other, 100)
  }

  /** Somebody stands, and who is reached hears nobody else. */
  private election() {
    const { random } = this
    const candidate = random.pick(this.members)
    if (random.chance(0.5)) this.cuts.clear()
    this.elect(
      candidate,
      this.members.filter((member) => member !== candidate && random.chance(0.85)),
      random.between(2, 5),
    )
  }

  /** Ends when it leads: nothing that a leader says has arrived then. */
  private elect(candidate: Member, voters: readonly Member[], rounds: number) {
    for (const member of [candidate, ...voters]) if (member.raft === undefined) this.start(member)
    // The first try may only teach it the present term.
    for (let tries = 0; tries < 2; tries++) {
      for (const member of voters) this.pass(member, timing.electionTicksMin)
      this.wire.length = 0
      this.pass(candidate, timing.electionTicksMax)
      for (let round = 0; round < rounds; round++) {
        for (const member of voters) {
          this.between(candidate, member)
          if (candidate.raft?.status.role === 'leader') return this.persist(candidate, 100)
        }
      }
    }
  }

  private pass(member: Member, ticks: number) {
    this.step(
      member,
      Array.from({ length: ticks }, () => ({ kind: 'tick' }) as const),
    )
  }

  /** Two stand in one term; whoever has voted for the first loses power before the second asks. */
  private collision() {
    const { random } = this
    const { configuration } = random.pick(this.members).raft?.status ?? {}
    const [first, second, ...voters] = this.shuffled().filter(({ id }) => configuration?.voters.includes(id) === true)
    if (first === undefined || second === undefined) return
    this.cuts.clear()
    for (const member of [first, second, ...voters]) {
      if (member.raft?.status.role === 'leader') this.crash(member)
      if (member.raft === undefined) this.start(member)
    }
    for (const member of voters) this.pass(member, timing.electionTicksMin)
    this.wire.length = 0
    for (const candidate of [first, second]) this.pass(candidate, timing.electionTicksMax)
    const isWritten = random.chance(0.5)
    for (const written of [true, isWritten])
      for (const candidate of [first, second]) for (const voter of voters) this.between(candidate, voter, written)
    this.persist(second, 100)
    if (isWritten || random.chance(0.5)) this.persist(first, 100)
    for (let round = 0; round < 2; round++) for (const voter of voters) this.between(first, voter, isWritten)
    for (const voter of [first, ...voters]) {
      if (random.chance(0.3)) continue
      this.crash(voter)
      this.start(voter)
    }
    // What the first says to the second comes late.
    const late = this.wire.filter(({ from, to }) => from === first.id && to === second.id)
    for (const message of late) this.wire.splice(this.wire.indexOf(message), 1)
    for (let round = 0; round < 3; round++) for (const voter of [...voters, first]) this.between(second, voter)
  }

  /** Figure 8 of the paper: an entry of an old term comes to a majority, and one with a later term and without it is elected. */
  private oldEntry() {
    const { random } = this
    const first = this.leading
    if (first?.raft === undefined) return
    const { voters } = first.raft.status.configuration
    const [near, far, last, ...rest] = this.shuffled().filter((member) => member !== first && voters.includes(member.id))
    if (near === undefined || far === undefined || last === undefined) return
    this.cuts.clear()
    this.calm(15)
    this.propose(`write ${this.requests}`)
    for (let round = 0; round < 2; round++) this.between(first, near)
    this.crash(first)
    this.elect(last, [far, ...rest], 4)
    this.crash(last)
    this.elect(first, [near, far, ...rest.filter(() => random.chance(0.3))], 4)
    for (let round = random.between(3, 12); round > 0; round--) this.between(first, random.pick([near, far]))
    this.crash(first)
    this.elect(last, [far, ...rest], random.between(3, 5))
  }

  private shuffled(): Member[] {
    const left = [...this.members]
    return this.members.map(() => left.splice(this.random.between(0, left.length - 1), 1)[0] as Member)
  }

  /** New members take the place of most of the old ones; those that are to go hear nothing of it, and elect one of theirs. */
  private reshapeWhileParted() {
    const { random } = this
    this.cuts.clear()
    for (const member of this.members) if (member.raft === undefined) this.start(member)
    this.reconfigure()
    this.calm(random.between(40, 60))
    const leader = this.leading
    if (leader?.raft === undefined) return
    const { configuration } = leader.raft.status
    const { voters, learners } = configuration
    if (learners.length < 2) return
    const staying = random.chance(0.5) ? [leader.id] : []
    const change = { add: [], promote: learners, remove: voters.filter((voter) => !staying.includes(voter)) }
    this.step(leader, [{ kind: 'configuration-requested', requestId: `change-${++this.requests}` as RequestId, change }])
    const old = voters.filter((voter) => voter !== leader.id && random.chance(0.9))
    for (const one of old) {
      for (const { id } of this.members) {
        if (old.includes(id)) continue
        this.cuts.add(`${one}->${id}`)
        this.cuts.add(`${id}->${one}`)
      }
    }
    this.seen.add('reshaped while parted')
    this.calm(random.between(20, 40))
  }

  private get leading(): Member | undefined {
    const leaders = this.members.filter((member) => member.raft?.status.role === 'leader')
    return leaders.length === 0 ? undefined : this.random.pick(leaders)
  }

  /** So many ticks in which everything that is not cut arrives and is written. */
  private calm(ticks: number) {
    for (let tick = 0; tick < ticks; tick++) this.quietTick(-1)
  }

  private start(member: Member) {
    const isFirst = this.first.voters.includes(member.id)
    Object.assign(member, member.stored)
    member.raft = new Raft({
      self: member.id,
      configuration: isFirst ? this.first : { voters: [], learners: [], outgoing: [], places: {} },
      timing,
      hardState: member.hardState,
      base: member.base,
      entries: member.entries,
      applied: member.meta,
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
    member.answers.length = 0
    member.reading.clear()
    member.incoming = undefined
    // The applied state may lag behind what was applied before the crash; it is never ahead of the log.
    if (this.random.chance(0.5)) this.storeWhatIsLogged(member)
    member.raft = undefined
  }

  private store(member: Member) {
    member.stored = { state: member.state, meta: member.meta }
  }

  /** The applied state may be ahead of the log on disk while the member lives; it is stored only once it is not. */
  private storeWhatIsLogged(member: Member) {
    const { meta, base, entries } = member
    const logged = meta.index === base.index ? base.term : entries[meta.index - base.index - 1]?.term
    if (logged === meta.term) this.store(member)
    else this.seen.add('applied ahead of the disk')
  }

  private answer(member: Member, count: number) {
    for (const event of member.answers.splice(0, count)) this.step(member, [event])
  }

  private compact(member: Member) {
    if (member.raft === undefined) return
    this.storeWhatIsLogged(member)
    const upTo = member.stored.meta.index - this.random.between(0, 5)
    this.step(member, [{ kind: 'compact', upTo: logIndex(Math.max(0, upTo)) }])
  }

  private reconfigure() {
    const leader = this.members.find((member) => member.raft?.status.role === 'leader')
    if (leader?.raft === undefined) return
    const { configuration } = leader.raft.status
    const known = membersOf(configuration)
    // An id is never reused.
    const fresh = this.members.filter(({ id, meta }) => !known.includes(id) && !this.first.voters.includes(id) && meta.index === 0)
    const add = fresh.filter(() => this.random.chance(this.reshapes ? 0.9 : 0.2)).map((one) => one.id)
    const promote = configuration.learners.filter(() => this.random.chance(this.reshapes ? 0.9 : 0.6))
    const removable = this.reshapes && promote.length > 1 ? configuration.voters : known.slice(1)
    const remove = removable.filter(() => this.random.chance(this.reshapes && promote.length > 1 ? 0.8 : 0.15))
    const change = {
      add: add.map((member) => ({ member, place: { node: member as never, addresses: [] } })),
      promote: promote.filter((member) => !remove.includes(member)),
      remove,
    }
    if (change.promote.length > 0) this.seen.add('learner promoted')
    if (remove.includes(leader.id)) this.seen.add('leader removed')
    this.step(leader, [{ kind: 'configuration-requested', requestId: `change-${++this.requests}` as RequestId, change }])
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
    if (first !== undefined) member.entries = [...member.entries.filter((entry) => entry.index < first.index), ...entries]
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
    this.step(member, [{ kind: 'proposed', requestId: `${++this.requests}` as RequestId, command: this.dataOf(text) }])
  }

  private dataOf(text: string): Uint8Array {
    const data = new TextEncoder().encode(text)
    if (!this.isLarge) return data
    const filled = new Uint8Array(appendBytesMax)
    filled.set(data)
    return filled
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
      case 'member-regressed':
        return assert.fail(`${effect.member} lost nothing that it acknowledged`)
      case 'compacted':
        this.cut(member, effect.index)
        return
      case 'snapshot-read':
        this.read(member, effect)
        return
      case 'snapshot-close':
        member.reading.delete(`${effect.to}/${effect.transfer}`)
        return
      case 'snapshot-write': {
        if (effect.sequence === 0) member.incoming = { source: effect.source, rows: [] }
        assert.equal(member.incoming?.source, effect.source, 'chunks of two snapshots do not mix')
        member.incoming.rows.push(...(JSON.parse(new TextDecoder().decode(effect.data)) as string[]))
        member.answers.push({ kind: 'snapshot-written', source: effect.source, sequence: effect.sequence })
        return
      }
      case 'snapshot-install': {
        assert.equal(member.incoming?.source, effect.source)
        assert.equal(member.pending.length, 0, 'nothing is being written to the log')
        assert.ok(effect.meta.index > member.meta.index, 'the applied state does not go back')
        this.judge(effect.meta.index, member.incoming.rows, member)
        member.state = member.incoming.rows
        member.meta = effect.meta
        member.incoming = undefined
        this.store(member)
        this.seen.add(effect.keepTail ? 'tail kept' : 'snapshot installed')
        if (!effect.keepTail) member.entries = []
        this.cut(member, effect.meta.index, effect.meta.term)
        member.answers.push({ kind: 'snapshot-installed', source: effect.source })
        return
      }
      case 'configuration-changed':
        if (effect.configuration.outgoing.length > 0) this.seen.add('joint')
        return
      case 'snapshot-abandon':
        this.seen.add('snapshot given up')
        member.incoming = undefined
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

  private cut(member: Member, index: LogIndex, at?: LogPosition['term']) {
    const cutTerm = member.entries.find((entry) => entry.index === index)?.term ?? at
    assert.ok(cutTerm !== undefined && index <= member.stored.meta.index, 'the log is cut only up to what is stored')
    member.base = { index, term: cutTerm }
    member.entries = member.entries.filter((entry) => entry.index > index)
  }

  private read(member: Member, { to, transfer }: { readonly to: MemberId; readonly transfer: number }) {
    const key = `${to}/${transfer}`
    if (this.faults && this.random.chance(0.05)) {
      member.answers.push({ kind: 'snapshot-unreadable', to, transfer })
      return
    }
    const reading = member.reading.get(key) ?? { state: member.state, meta: member.meta, at: 0, sequence: 0 }
    member.reading.set(key, reading)
    const rows = reading.state.slice(reading.at, reading.at + this.random.between(1, 8))
    reading.at += rows.length
    const data = new TextEncoder().encode(JSON.stringify(rows))
    const last = reading.at >= reading.state.length
    member.answers.push({ kind: 'snapshot-chunk', to, transfer, sequence: reading.sequence++, meta: reading.meta, data, last })
  }

  private apply(member: Member, entry: LogEntry) {
    assert.equal(entry.index, member.meta.index + 1, `${member.id} applies in order, each once`)
    const given = [...member.entries, ...member.pending.flatMap(({ entries }) => entries)].findLast((one) => one.index === entry.index)
    assert.ok(given?.term === entry.term, `${member.id} applies only what was given to its disk before`)
    const shown = show(entry)
    const known = this.committed[entry.index - 1]
    assert.equal(known ?? shown, shown, `all apply the same at ${entry.index}`)
    this.committed[entry.index - 1] = shown
    member.state = [...member.state, shown]
    const configuration = entry.kind === 'configuration' ? (member.raft as Raft).configurationAt(entry.index) : member.meta.configuration
    member.meta = { index: entry.index, term: entry.term, configuration }
  }

  /** What a snapshot holds is what was committed up to its index. */
  private judge(index: LogIndex, rows: readonly string[], member: Member) {
    assert.deepEqual(rows, this.committed.slice(0, index), `the snapshot that ${member.id} installs holds what was committed`)
  }
}

function show(entry: LogEntry): string {
  return `${entry.index as LogIndex}/${entry.term} ${entry.kind} ${Buffer.from(entry.data.subarray(0, 200)).toString('latin1')}`
}
