/**
 * What a member is in every role: its term and vote, its log and configurations, how far they are committed and applied (Raft fig. 2).
 *
 * The one place where these change. Log, disk and configurations change together or not at all; the parts of a member read
 * them, and change them by the methods here. What only a leader or only a candidate knows is theirs.
 */
import { invariant, type LogIndex, logIndex, type MemberId, type Term } from '../../base/index.js'
import { type Configuration, votersOf } from './configuration.js'
import { Configurations } from './configurations.js'
import { Log, type LogView } from './log.js'
import type { RaftOptions, RaftTiming } from './options.js'
import type { Outbox } from './outbox.js'
import { Persistence, type PersistenceView } from './persistence.js'
import type { HardState, LogEntry, Role, SnapshotMeta } from './types.js'

export class MemberState {
  readonly self: MemberId
  /** May change at any time. */
  timing: RaftTiming
  readonly log: LogView
  readonly persistence: PersistenceView
  /** The same two, to be changed. */
  private readonly owned: { readonly log: Log; readonly persistence: Persistence }
  private readonly configurations: Configurations
  private readonly outbox: Outbox

  private hardState: HardState
  private ownRole: Role = 'follower'
  private knownLeader: MemberId | undefined
  private committed: LogIndex
  private applied: LogIndex
  private announced: { readonly role: Role; readonly term: Term; readonly leader: MemberId | undefined }

  constructor({ self, timing, hardState, base, entries, applied, configuration }: RaftOptions, outbox: Outbox) {
    this.self = self
    this.timing = timing
    this.outbox = outbox
    const log = new Log(base, entries)
    this.owned = { log, persistence: new Persistence(log.lastIndex) }
    this.log = this.owned.log
    this.persistence = this.owned.persistence
    this.hardState = { term: hardState.term, votedFor: hardState.votedFor }
    this.applied = applied.index
    // Applied entries were committed; anything after them must be committed again by a leader (R37).
    this.committed = applied.index
    this.configurations = new Configurations(applied.configuration ?? configuration, applied.index)
    this.configurations.append(entries.filter((entry) => entry.index > applied.index))
    invariant(this.applied <= log.lastIndex && this.applied >= base.index, 'what is applied is in the log', {
      applied: this.applied,
      base: base.index,
      last: log.lastIndex,
    })
    this.announced = { role: this.role, term: this.term, leader: undefined }
  }

  get term(): Term {
    return this.hardState.term
  }

  /** In the present term. */
  get votedFor(): MemberId | null {
    return this.hardState.votedFor
  }

  get role(): Role {
    return this.ownRole
  }

  get leader(): MemberId | undefined {
    return this.knownLeader
  }

  /** Nobody has this member's vote in a new term. */
  enterTerm(term: Term): void {
    invariant(term >= this.term, 'terms never fall', { newTerm: term, currentTerm: this.term })
    if (term > this.term) this.changeHardState({ term, votedFor: null })
  }

  /** One vote a term (Raft §5.2). */
  voteFor(candidate: MemberId): void {
    invariant(this.votedFor === null || this.votedFor === candidate, 'one vote a term', { candidate, votedFor: this.votedFor })
    if (this.votedFor === null) this.changeHardState({ term: this.term, votedFor: candidate })
  }

  become(role: Role, leader: MemberId | undefined): void {
    this.ownRole = role
    this.knownLeader = leader
  }

  private changeHardState(hardState: HardState): void {
    this.hardState = hardState
    this.owned.persistence.changeHardState()
  }

  /** Whether one of the entries changes the configuration. */
  append(entries: readonly LogEntry[]): boolean {
    this.owned.log.append(entries)
    this.owned.persistence.append(entries)
    return this.configurations.append(entries)
  }

  /** Forgets `index` and everything after it; whether a configuration went with it. */
  truncateFrom(index: LogIndex): boolean {
    this.owned.log.truncateFrom(index)
    this.owned.persistence.truncateFrom(index)
    return this.configurations.truncateFrom(index)
  }

  /** The applied state stands for everything up to `index`. */
  compactTo(index: LogIndex): void {
    this.owned.log.compactTo(index)
    this.configurations.forgetBefore(index)
  }

  /** A snapshot has taken the place of the applied state; with `keepTail` the log goes on behind it. */
  install(meta: SnapshotMeta, keepTail: boolean): void {
    if (keepTail) this.compactTo(meta.index)
    else {
      invariant(meta.configuration !== null, 'a snapshot says who belongs')
      this.owned.log.resetTo(meta)
      this.owned.persistence.reset(meta.index)
      this.configurations.reset(meta.configuration, meta.index)
    }
    this.applied = meta.index
    this.committed = Math.max(this.committed, meta.index) as LogIndex
  }

  /** The latest in the log is in force, committed or not (Raft §6). */
  get configuration(): Configuration {
    return this.configurations.latest.configuration
  }

  get latestConfiguration(): { readonly index: LogIndex; readonly configuration: Configuration } {
    return this.configurations.latest
  }

  configurationAt(index: LogIndex): Configuration {
    return this.configurations.at(index)
  }

  /** Joint, or not committed yet. */
  get isChanging(): boolean {
    const { index, configuration } = this.configurations.latest
    return index > this.committed || configuration.outgoing.length > 0
  }

  isVoter(member: MemberId): boolean {
    return votersOf(this.configuration).includes(member)
  }

  /** Another configuration is in force from here on. */
  tellConfiguration(): void {
    this.outbox.push({ kind: 'configuration-changed', configuration: this.configuration })
  }

  get commitIndex(): LogIndex {
    return this.committed
  }

  get appliedIndex(): LogIndex {
    return this.applied
  }

  /** A leader that has applied an entry of its own term: it may judge and answer reads (Raft §8). */
  get isEstablished(): boolean {
    return this.role === 'leader' && this.log.termAt(this.applied) === this.term
  }

  commitTo(index: number): void {
    if (index <= this.committed) return
    invariant(index <= this.log.lastIndex, 'nothing is committed that is not in the log', { index, last: this.log.lastIndex })
    this.committed = logIndex(index)
  }

  /**
   * What a quorum stores is applied, whether the own disk has it yet or not (thesis §10.2.1): a slow disk of the leader holds nobody up.
   * All of it was given to the disk in this step or before, ahead of this; what is applied becomes durable only after it (`io/store`).
   */
  apply(): void {
    if (this.committed <= this.applied) return
    const entries = this.log.slice(this.applied + 1, this.committed, Number.POSITIVE_INFINITY)
    this.applied = this.committed
    this.outbox.push({ kind: 'apply', entries })
  }

  tickDisk(): void {
    this.owned.persistence.tick()
  }

  persisted(sequence: number): void {
    this.owned.persistence.confirmed(sequence)
  }

  /** Writes what has changed, and lets go what has waited for an earlier write. */
  persist(): void {
    const write = this.owned.persistence.flush(this.hardState, this.log.lastIndex)
    if (write !== undefined) this.outbox.push(write)
    for (const send of this.owned.persistence.release()) this.outbox.push(send)
  }

  announce(): void {
    const { role, term, leader } = this
    if (role === this.announced.role && term === this.announced.term && leader === this.announced.leader) return
    this.announced = { role, term, leader }
    this.outbox.push({ kind: 'role-changed', role, term, leader })
  }
}
