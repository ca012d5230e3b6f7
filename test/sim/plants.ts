/**
 * Classic mistakes, each planted into the compiled program for the length of some runs. Production code knows nothing of them.
 *
 * A plant stands for what its author might have forgotten; where it lives in the program is of no account here.
 */
import type { LogIndex } from '../../src/base/index.js'
import { LeaseGiver } from '../../src/core/detector/index.js'
import { GuardianCore } from '../../src/core/guardian/index.js'
import { Elections } from '../../src/core/raft/elections.js'
import { Following } from '../../src/core/raft/following.js'
import { Heartbeats } from '../../src/core/raft/heartbeats.js'
import { Raft } from '../../src/core/raft/index.js'
import { Lead } from '../../src/core/raft/lead.js'
import { Log } from '../../src/core/raft/log.js'
import { MemberState } from '../../src/core/raft/member-state.js'
import { MembershipChanges } from '../../src/core/raft/membership-changes.js'
import { Persistence } from '../../src/core/raft/persistence.js'
import { Replication } from '../../src/core/raft/replication.js'
import { Rounds } from '../../src/core/raft/rounds.js'
import { SnapshotReceiving } from '../../src/core/raft/snapshot-receiving.js'
import { SnapshotTransfers } from '../../src/core/raft/snapshot-transfers.js'
import { QuorateNode } from '../../src/node/index.js'
import { Requests } from '../../src/node/requests.js'
import { Disk, SimStore } from './disk.js'
import { Later } from './later.js'
import { Machine } from './machine.js'
import type { Profile } from './play.js'
import type { WorldOptions } from './world.js'

// biome-ignore lint/suspicious/noExplicitAny: what is planted reaches into private parts, which have no types here.
type Inside = any

export interface Plant {
  readonly mistake: string
  /** What finds it: a profile of the simulator, members of `core/raft` alone, or a scenario script. */
  readonly by: Profile | 'raft' | 'script'
  /** Some seed among so many does. */
  readonly within: number
  /** The first of them, 1 unless given. */
  readonly from?: number
  readonly options?: Partial<WorldOptions>
  /** Answers how it is taken out again. */
  readonly plant: () => () => void
}

type Method = (this: Inside, ...given: Inside[]) => Inside

/** Puts another method in the place of one; it gets the original as its first argument. */
function instead(owner: Inside, name: string, made: (original: Method) => Method): () => void {
  const before = Object.getOwnPropertyDescriptor(owner.prototype, name)
  if (before === undefined || typeof before.value !== 'function') throw new Error(`${name} is there to be changed`)
  owner.prototype[name] = made(before.value)
  return () => Object.defineProperty(owner.prototype, name, before)
}

function insteadOfGetter(owner: Inside, name: string, made: (original: () => Inside) => (this: Inside) => Inside): () => void {
  const before = Object.getOwnPropertyDescriptor(owner.prototype, name)
  if (before?.get === undefined) throw new Error(`${name} is there to be changed`)
  Object.defineProperty(owner.prototype, name, { ...before, get: made(before.get) })
  return () => Object.defineProperty(owner.prototype, name, before)
}

function all(...plants: readonly (() => void)[]): () => void {
  return () => {
    for (const takeOut of plants) takeOut()
  }
}

/** While the method runs, the joint phase has no outgoing half. */
function halved(owner: Inside, name: string): () => void {
  return instead(
    owner,
    name,
    (original) =>
      function (...given) {
        const { state } = this
        Object.defineProperty(state, 'configuration', { value: { ...state.configuration, outgoing: [] }, configurable: true })
        try {
          return original.apply(this, given)
        } finally {
          delete state.configuration
        }
      },
  )
}

/** Found by members of `core/raft` alone under chance. */
const raft = (mistake: string, within: number, plant: () => () => void): Plant => ({ mistake, by: 'raft', within, plant })
/** Found by one of the scenario scripts, where chance would need too long. */
const script = (mistake: string, plant: () => () => void): Plant => ({ mistake, by: 'script', within: 1, plant })
const consensus = (mistake: string, within: number, plant: () => () => void): Plant => ({ mistake, by: 'consensus', within, plant })
const whole = (mistake: string, within: number, plant: () => () => void, more: Partial<Plant> = {}): Plant => ({
  mistake,
  by: 'whole',
  within,
  plant,
  ...more,
})

export const plants: readonly Plant[] = [
  // Elections and terms.
  raft('the vote is not persisted', 50, () =>
    instead(
      Persistence,
      'flush',
      (original) =>
        function (hardState, lastIndex) {
          return original.call(this, { ...hardState, votedFor: null }, lastIndex)
        },
    ),
  ),
  raft('the term is not persisted', 50, () =>
    instead(
      Persistence,
      'flush',
      (original) =>
        function (hardState, lastIndex) {
          const write = original.call(this, hardState, lastIndex)
          return write === undefined || write.entries.length > 0 ? write : { ...write, hardState: { term: 0, votedFor: null } }
        },
    ),
  ),
  raft('a vote is answered before it is on disk', 1_500, () =>
    instead(
      Persistence,
      'sendDurable',
      (original) =>
        function (to, message) {
          if (message.kind !== 'vote-response') return original.call(this, to, message)
          this.held.push({ sequence: 0, send: { kind: 'send', to, message } })
        },
    ),
  ),
  script('the own vote is counted before it is on disk', () =>
    all(
      insteadOfGetter(Persistence, 'isTermDurable', () => () => true),
      instead(
        Persistence,
        'sendDurable',
        (original) =>
          function (to, message) {
            if (message.kind !== 'vote-request') return original.call(this, to, message)
            this.held.push({ sequence: 0, send: { kind: 'send', to, message } })
          },
      ),
    ),
  ),
  raft('answers of an earlier round, and to pre-votes, count as votes', 100, () =>
    instead(
      Elections,
      'onVoteResponse',
      () =>
        function (from, message) {
          if (this.state.role !== 'pre-candidate' && this.state.role !== 'candidate') return
          this.votes.set(from, message.granted)
          this.countVotes()
        },
    ),
  ),
  raft('of two logs the longer one wins, whatever its last term is', 1500, () =>
    instead(
      Log,
      'isUpToDate',
      () =>
        function (_lastTerm, lastIndex) {
          return lastIndex >= this.lastIndex
        },
    ),
  ),
  raft('anybody is voted for', 50, () => instead(Log, 'isUpToDate', () => () => true)),
  // Replication and commitment.
  raft('an entry of an old term is committed by counting', 2_000, () =>
    instead(
      Replication,
      'advanceCommit',
      (original) =>
        function () {
          const { state } = this
          const { log } = state
          state.log = new Proxy(log, {
            get: (target, name) => {
              if (name === 'termAt') return (index: number) => (target.termAt(index as never) === undefined ? undefined : state.term)
              const value = (target as Inside)[name]
              return typeof value === 'function' ? value.bind(target) : value
            },
          })
          try {
            return original.call(this)
          } finally {
            state.log = log
          }
        },
    ),
  ),
  consensus('an append is acknowledged before it is on disk', 20, () =>
    instead(
      Persistence,
      'sendDurable',
      (original) =>
        function (to, message) {
          if (message.kind !== 'append-response') return original.call(this, to, message)
          this.held.push({ sequence: 0, send: { kind: 'send', to, message } })
        },
    ),
  ),
  raft('the leader counts itself before its disk has the entry', 3_000, () =>
    instead(
      Replication,
      'advanceCommit',
      (original) =>
        function () {
          const { log, persistence } = this.state
          const { durableIndex } = persistence
          persistence.durableIndex = log.lastIndex
          try {
            return original.call(this)
          } finally {
            persistence.durableIndex = durableIndex
          }
        },
    ),
  ),
  consensus('a follower commits further than what it was proved to hold', 20, () =>
    all(
      instead(
        Following,
        'onHeartbeat',
        (original) =>
          function (from, message) {
            return original.call(this, from, { ...message, commit: Math.min(message.commit, this.state.log.lastIndex) })
          },
      ),
      instead(
        Heartbeats,
        'send',
        (original) =>
          function (to, progress) {
            return original.call(this, to, { ...progress, matchIndex: Number.MAX_SAFE_INTEGER })
          },
      ),
    ),
  ),
  raft('a conflicting tail is not cut', 50, () =>
    instead(
      Following,
      'take',
      (original) =>
        function (entries) {
          const fresh = entries.filter(({ index }: { index: number }) => index > this.state.log.lastIndex)
          if (fresh.length > 0) original.call(this, fresh)
        },
    ),
  ),
  raft('a cut log keeps its configuration', 50, () =>
    instead(
      Following,
      'take',
      (original) =>
        function (entries) {
          const { configurations } = this.state
          const { truncateFrom } = configurations
          configurations.truncateFrom = () => false
          try {
            return original.call(this, entries)
          } finally {
            configurations.truncateFrom = truncateFrom
          }
        },
    ),
  ),
  // Membership.
  raft('a leader changes the membership before an entry of its own', 100, () =>
    instead(
      MembershipChanges,
      'judge',
      (original) =>
        function (change) {
          const refusal = original.call(this, change)
          return refusal === 'not-established' ? undefined : refusal
        },
    ),
  ),
  raft('a change begins while another one is under way', 100, () =>
    all(
      instead(
        MembershipChanges,
        'judge',
        (original) =>
          function (change) {
            const refusal = original.call(this, change)
            return refusal === 'change-under-way' ? undefined : refusal
          },
      ),
      insteadOfGetter(MemberState, 'isChanging', () => () => false),
    ),
  ),
  raft('the joint phase does without its outgoing half', 1000, () =>
    all(halved(Replication, 'advanceCommit'), halved(Elections, 'countVotes'), halved(Heartbeats, 'confirmRounds'), halved(Lead, 'tick')),
  ),
  consensus('a wiped member comes back under its old name', 100, () =>
    instead(
      Machine,
      'loseDisk',
      (original) =>
        function () {
          const { identity } = this.disk
          original.call(this)
          this.disk.identity = identity
        },
    ),
  ),
  // Snapshots and disks.
  consensus('a snapshot older than what is committed is installed', 150, () =>
    all(
      instead(
        SnapshotReceiving,
        'onSnapshot',
        (original) =>
          function (from, message) {
            const { committed } = this.state
            this.state.committed = 0
            original.call(this, from, message)
            this.state.committed = committed
          },
      ),
      instead(
        SnapshotReceiving,
        'continueInstall',
        (original) =>
          function () {
            const { committed } = this.state
            this.state.committed = 0
            original.call(this)
            this.state.committed = committed
          },
      ),
    ),
  ),
  raft('chunks of two snapshots are mixed', 1000, () =>
    instead(
      SnapshotReceiving,
      'onSnapshot',
      (original) =>
        function (from, message) {
          if (this.incoming !== undefined) {
            const { meta } = this.incoming
            Object.assign(this.incoming, { source: `${from}/${message.term}/${message.transfer}`, from, transfer: message.transfer })
            return original.call(this, from, { ...message, meta })
          }
          return original.call(this, from, message)
        },
    ),
  ),
  consensus('a snapshot says who belonged when its sender began', 250, () =>
    all(
      instead(
        Raft,
        'step',
        (original) =>
          function (events) {
            this.state.first ??= this.state.configurations.known[0].configuration
            return original.call(this, events)
          },
      ),
      instead(
        SnapshotTransfers,
        'sendChunk',
        (original) =>
          function (progress, event) {
            return original.call(this, progress, { ...event, meta: { ...event.meta, configuration: this.state.first } })
          },
      ),
    ),
  ),
  script('a tail that may be committed goes when a snapshot comes', () =>
    instead(
      SnapshotReceiving,
      'continueInstall',
      (original) =>
        function () {
          const { outbox } = this
          const before = outbox.effects.length
          original.call(this)
          if (this.installing === undefined) return
          this.installing = { ...this.installing, keepTail: false }
          outbox.effects = outbox.effects.map((effect: Inside, at: number) =>
            at >= before && effect.kind === 'snapshot-install' ? { ...effect, keepTail: false } : effect,
          )
        },
    ),
  ),
  consensus('the log is compacted beyond what is durable of the state', 20, () =>
    all(
      instead(
        SimStore,
        'syncApplied',
        () =>
          function () {
            const applied = new Later<LogIndex>()
            this.process.afterTrue(this.syncTime(), () => applied.resolve(this.appliedNow().index))
            return applied
          },
      ),
      instead(
        SimStore,
        'cutLog',
        (original) =>
          function (index) {
            this.syncedIndex = index
            return original.call(this, index)
          },
      ),
    ),
  ),
  consensus('the applied index is saved apart from the rows', 20, () =>
    instead(
      Disk,
      'lostUnsynced',
      (original) =>
        function () {
          const latest = this.unsynced.at(-1)?.applied
          original.call(this)
          if (latest !== undefined) this.state.applied = latest
        },
    ),
  ),
  consensus('rows are saved, and the applied index after them', 20, () =>
    instead(
      Disk,
      'lostUnsynced',
      (original) =>
        function () {
          const { applied } = this.state
          const waiting = this.unsynced.length
          original.call(this)
          if (waiting > 0) this.state.applied = applied
        },
    ),
  ),
  consensus('what is applied is on disk before the log that it came from', 300, () =>
    instead(
      SimStore,
      'apply',
      (original) =>
        function (applied, changes) {
          this.queued = 0
          return original.call(this, applied, changes)
        },
    ),
  ),
  consensus('the switch to a snapshot is half done when the power goes', 250, () =>
    instead(
      SimStore,
      'end',
      (original) =>
        function (how) {
          const { inFlight } = this
          if (inFlight !== undefined && 'state' in inFlight) {
            this.disk.state = inFlight.state
            this.inFlight = undefined
          }
          return original.call(this, how)
        },
    ),
  ),
  consensus('writes of a failing disk count as done', 100, () =>
    instead(
      SimStore,
      'next',
      (original) =>
        function () {
          const { disk } = this
          if (disk.failing === undefined || this.inFlight !== undefined || this.waiting.length === 0) return original.call(this)
          const done = this.waiting.splice(0)
          this.process.post(() => {
            for (const { sequence } of done) if (sequence !== undefined) this.listener.onPersisted(sequence)
          })
        },
    ),
  ),
  // Reads and clients.
  consensus('a read is answered without asking anybody', 20, () =>
    instead(
      QuorateNode,
      'readBarrier',
      () =>
        function (_timeout, done) {
          this.post(() => done({ ok: true, value: this.state.appliedIndex }))
        },
    ),
  ),
  consensus('a leader answers reads without a round', 60, () =>
    instead(
      QuorateNode,
      'confirmLead',
      () =>
        function (settle) {
          settle(this.raft.status.commitIndex)
        },
    ),
  ),
  script('late heartbeat answers confirm a read', () =>
    instead(
      Lead,
      'onHeartbeatResponse',
      (original) =>
        function (from, message) {
          return original.call(this, from, { ...message, round: this.history.rounds.current })
        },
    ),
  ),
  raft('a new leader answers reads before an entry of its own', 600, () =>
    all(
      instead(
        Rounds,
        'begin',
        (original) =>
          function (readIndex) {
            return original.call(this, readIndex ?? this.lastKnown ?? 0)
          },
      ),
      instead(
        Heartbeats,
        'beginRound',
        (original) =>
          function () {
            this.rounds.lastKnown = this.state.commitIndex
            return original.call(this)
          },
      ),
    ),
  ),
  consensus('a follower does not wait for the confirmed index', 20, () =>
    instead(Requests, 'addRead', () => (index, _deadline, callback) => {
      callback({ ok: true, value: index })
    }),
  ),
  consensus('request ids are forgotten', 20, () =>
    instead(
      QuorateNode,
      'envelope',
      (original) =>
        function (id, command) {
          return original.call(this, id, command, undefined)
        },
    ),
  ),
  consensus('the state machine reads the clock of its node', 3, () =>
    instead(
      QuorateNode,
      'applyCommand',
      (original) =>
        function (entry, envelope) {
          return original.call(this, entry, { ...envelope, at: Math.round(this.io.clock.now()) })
        },
    ),
  ),
  // Leases, proofs, fencing.
  whole('a lease is called over as soon as its boot is silent', 300, () => instead(LeaseGiver, 'untilExpired', () => () => 0)),
  whole('whoever is condemned is assumed dead, and its groups are granted', 300, nothing, {
    options: {
      makeNode: (self, io, restored, state) => {
        const original = { get: state.get.bind(state), rows: state.rows.bind(state) } as Inside
        const freed = (row: Inside) =>
          row?.holder != null && original.get('boots', `${row.holder.node}/${row.holder.boot}`)?.state === 'condemned'
            ? { ...row, holder: null }
            : row
        const place = state as Inside
        place.get = (table: string, key: string) => (table === 'groups' ? freed(original.get(table, key)) : original.get(table, key))
        place.rows = function* (table: string, from?: string) {
          for (const [key, row] of original.rows(table, from)) yield [key, table === 'groups' ? freed(row) : row]
        }
        place.derived = (_table: string, _what: string, make: () => unknown) => make()
        return new QuorateNode(self, io, restored, state)
      },
    },
  }),
  whole('stopping is taken for stopped', 100, nothing, {
    options: {
      makeNode: (...made) => {
        const node = new QuorateNode(...made)
        const original = node.monitorReport.bind(node)
        node.monitorReport = (report) => {
          original(report)
          if (report.kind === 'group' && report.state === 'STOPPING') original({ kind: 'sealed', group: report.group, token: report.token })
        }
        return node
      },
    },
  }),
  whole('the guardian does not end what the lease is over for', 100, () =>
    instead(
      GuardianCore,
      'step',
      (original) =>
        function (event, now) {
          return original.call(this, event.kind === 'looked' ? { ...event, deadline: 1e12 } : event, now)
        },
    ),
  ),
]

function nothing(): () => void {
  return () => undefined
}
