/**
 * What is judged at every step, against what really runs: the promises of the design.
 *
 * P1 one copy at any instant; P2 what was acknowledged stays; P4 nothing is granted while a copy runs; P5 what cannot
 * renew has ended in time; and of the log: one leader a term, the same state at the same index.
 */
import { crc32c, type DiskName, type LogIndex } from '../../src/base/index.js'
import { type ClusterState, type EventRow, type GroupRow, outlastsLease, settingsOf, tableNames } from '../../src/core/cluster/index.js'
import { decodeConfiguration, type LogEntry, type SnapshotMeta } from '../../src/core/raft/index.js'
import type { RowChange } from '../../src/io/store/index.js'
import { isCompact } from '../../src/node/entries.js'
import { checksumOf } from './disk.js'
import type { Machine } from './machine.js'
import type { Cell } from './services.js'
import type { World } from './world.js'

/** More changes of the lead than that in two seconds are no change of circumstances. */
const electionsMax = 12
/** A refusal is believed for as long as silence would take; then it is judged, proposed and committed. Milliseconds. */
const refusalGrain = 300

interface Log {
  readonly base: { readonly index: number }
  termAt(index: number): number | undefined
}

/** A service, or the primary role of one. */
type Running = Pick<Cell, 'machine' | 'group' | 'resource'>

/** Copies of each group that really run. */
export class Truth {
  private readonly world: World
  private readonly running = new Map<string, Map<Machine, number>>()
  /** Services that run without the storage that they live on. */
  private readonly idle = new Set<Running>()
  /** Every start of a service there was, for the story. */
  starts = 0

  constructor(world: World) {
    this.world = world
  }

  up(cell: Running): void {
    const { group, machine } = cell
    const disk = this.world.storageOf.get(group)
    if (disk !== undefined && this.world.sharedDisks.get(disk)?.mayWrite(machine) !== true) {
      this.idle.add(cell)
      machine.log(`RUNS WITHOUT ITS STORAGE ${group}/${cell.resource}`)
      return
    }
    const where = this.running.get(group) ?? new Map<Machine, number>()
    this.running.set(group, where)
    where.set(machine, (where.get(machine) ?? 0) + 1)
    this.starts++
    machine.log(`RUNS ${group}/${cell.resource}`)
    const elsewhere = this.whereElse(group, machine)
    if (elsewhere !== undefined) this.world.fail(`P1: ${group} runs on ${machine.name}, and ${elsewhere} at once`)
    if (where.size > 1) {
      this.world.fail(`P1: ${group} runs on ${[...where.keys()].map((one) => one.name).join(' and ')} at once`)
    }
  }

  /** Of a group that migrates one instance runs, whichever it is. */
  whereElse(group: string, machine?: Machine): string | undefined {
    const of = this.world.migrating(group)
    if (of === undefined) return undefined
    for (const [name, where] of this.running)
      for (const other of where.keys()) if (name.startsWith(`${of}:`) && other !== machine) return `${name} on ${other.name}`
    return undefined
  }

  down(cell: Running, how: string): void {
    if (this.idle.delete(cell)) return cell.machine.log(`ENDS ${cell.group}/${cell.resource}, which could do nothing: ${how}`)
    const where = this.running.get(cell.group)
    const left = (where?.get(cell.machine) ?? 1) - 1
    if (left <= 0) where?.delete(cell.machine)
    else where?.set(cell.machine, left)
    cell.machine.log(`ENDS ${cell.group}/${cell.resource}: ${how}`)
  }

  /** What lives on the disk can do nothing on this machine any more: it is no copy that counts. */
  cutOff(machine: Machine, disk: DiskName): void {
    for (const cell of machine.allCells()) {
      const where = this.running.get(cell.group)
      const left = where?.get(machine) ?? 0
      if (this.world.storageOf.get(cell.group) !== disk || cell.service === undefined || this.idle.has(cell) || left === 0) continue
      this.idle.add(cell)
      if (left > 1) where?.set(machine, left - 1)
      else where?.delete(machine)
      machine.log(`CUT OFF ${cell.group}/${cell.resource}`)
    }
  }

  /** And what went on idling there counts again. */
  mayWriteAgain(machine: Machine, disk: DiskName): void {
    for (const cell of [...this.idle]) {
      if (cell.machine !== machine || this.world.storageOf.get(cell.group) !== disk || !machine.powered) continue
      this.idle.delete(cell)
      this.up(cell)
    }
  }

  where(group: string): readonly Machine[] {
    return [...(this.running.get(group)?.keys() ?? [])]
  }

  on(machine: Machine): readonly string[] {
    return [...this.running].filter(([, where]) => where.has(machine)).map(([group]) => group)
  }
}

export class Checks {
  private readonly world: World
  private readonly leaders = new Map<number, string>()
  /** Checksum of the whole state, by index. */
  private readonly sums = new Map<number, { readonly sum: number; readonly by: string }>()
  private readonly states = new Map<Machine, Map<string, number>>()
  private readonly totals = new Map<Machine, number>()
  private readonly seenGrants = new Set<string>()
  private readonly entries = new Map<string, number>()
  /** Term of each entry that was applied anywhere. */
  private readonly committed: number[] = []
  private known = 0
  cases = 0
  grants = 0
  /** Boots of which the log says that what they run goes on without a lease. */
  private readonly detached = new Set<string>()
  /** True time at which the last renewal of a machine ends, and its emergency stop with it. */
  private readonly endOf = new Map<Machine, number>()
  readonly acknowledged = new Map<string, unknown>()
  highestTerm = 0
  private elections: number[] = []

  constructor(world: World) {
    this.world = world
  }

  leads(machine: Machine, term: number): void {
    const other = this.leaders.get(term)
    if (other !== undefined && other !== machine.name) this.world.fail(`term ${term} has two leaders, ${other} and ${machine.name}`)
    this.leaders.set(term, machine.name)
    this.hasCommitted(machine, term)
    this.highestTerm = Math.max(this.highestTerm, term)
    const { now } = this.world.scheduler
    this.elections = [...this.elections.filter((at) => at > now - 2_000), now]
    if (this.elections.length > electionsMax && this.world.options.services)
      this.world.fail(`${this.elections.length} leaders were elected within 2 s`)
  }

  /** Leader completeness (Raft §5.4): what was applied anywhere stands in the log of every later leader. */
  private hasCommitted(machine: Machine, term: number): void {
    const log = (machine.daemon?.node as unknown as { raft: { log: Log } } | undefined)?.raft.log
    if (log === undefined) return
    for (let index = Math.max(log.base.index + 1, this.committed.length - 100); index < this.committed.length; index++) {
      const known = this.committed[index]
      if (known === undefined || known >= term || log.termAt(index) === known) continue
      this.world.fail(`${machine.name} leads in term ${term} without entry ${index} of term ${known}, which was committed`)
    }
  }

  /** Log matching (Raft §5.3): an entry of one index and term is the same everywhere. */
  appended(machine: Machine, entries: readonly LogEntry[]): void {
    for (const { index, term, data, kind } of entries) {
      if (kind === 'configuration' && decodeConfiguration(data).outgoing.length > 0) this.world.seen.add('joint')
      if (isCompact(data)) this.world.seen.add('compact entry')
      const place = `${index}/${term}`
      const sum = crc32c(data)
      const known = this.entries.get(place)
      if (known === undefined) this.entries.set(place, sum)
      else if (known !== sum) this.world.fail(`the log of ${machine.name} has another entry at ${place} than others have`)
    }
  }

  // The state: the same at the same index.

  restored(machine: Machine, state: ClusterState): void {
    const rows = new Map<string, number>()
    let total = 0
    for (const table of tableNames) {
      for (const [key, value] of state.rows(table)) {
        const sum = checksumOf({ table, key, value })
        rows.set(`${table}\0${key}`, sum)
        total ^= sum
      }
    }
    this.states.set(machine, rows)
    this.totals.set(machine, total)
    this.compare(machine, state.appliedIndex)
  }

  stored(machine: Machine, { index, term }: SnapshotMeta, changes: readonly RowChange[]): void {
    const known = this.committed[index]
    if (known === undefined) this.committed[index] = term
    else if (known !== term)
      this.world.fail(`${machine.name} applies an entry of term ${term} at index ${index}, another one that of term ${known}`)
    const rows = this.states.get(machine) ?? new Map<string, number>()
    let total = this.totals.get(machine) ?? 0
    for (const { table, key, value } of changes) {
      const name = `${table}\0${key}`
      total ^= rows.get(name) ?? 0
      if (value === undefined) rows.delete(name)
      else {
        const sum = checksumOf({ table, key, value })
        rows.set(name, sum)
        total ^= sum
      }
    }
    this.totals.set(machine, total)
    this.compare(machine, index)
  }

  private compare(machine: Machine, index: number): void {
    const sum = this.totals.get(machine) ?? 0
    const known = this.sums.get(index)
    if (known === undefined) this.sums.set(index, { sum, by: machine.name })
    else if (known.sum !== sum) this.world.fail(`the states of ${known.by} and ${machine.name} differ at index ${index}`)
  }

  // What the log says.

  applied(state: ClusterState, index: LogIndex, events: readonly EventRow[]): void {
    if (index <= this.known) return
    const from = this.known
    this.known = index
    for (const event of events) {
      if (event.revision <= from) continue
      this.world.trace.add('LOG', `${event.revision} ${event.kind} ${event.subject}: ${event.text}`)
      if (event.kind === 'case.opened') this.cases++
      if (event.kind === 'alarm.p1') this.world.alarm(event.text)
      if (event.kind === 'group.proved') this.provedSeen(event)
      if (event.kind === 'node.maintenance' && event.data.detached === true) this.detached.add(String(event.data.boot))
      if (event.kind === 'node.attached') this.detached.delete(String(event.data.boot))
      if (event.kind === 'node.condemned') this.condemnedSeen(state, String(event.data.case))
    }
    for (const [, group] of state.rows('groups')) this.grantSeen(group)
  }

  /** P4: when a grant is first applied anywhere, no copy of the group runs any more. */
  private grantSeen({ name, holder }: GroupRow): void {
    if (holder === null) return
    const key = `${name}@${holder.token}`
    if (this.seenGrants.has(key)) return
    this.seenGrants.add(key)
    this.grants++
    const elsewhere = holder.order.incoming === undefined ? this.world.truth.whereElse(name) : undefined
    if (elsewhere !== undefined) this.world.fail(`P4: ${name} is granted to ${holder.node} while ${elsewhere} runs`)
    const running = this.world.truth.where(name)
    if (running.length > 0) {
      this.world.fail(`P4: ${name} is granted to ${holder.node} while it runs on ${running.map((one) => one.name).join(' and ')}`)
    }
  }

  /** P4: what is proved ended by a lease, or by its guardian, has ended, also where nobody else wants it. */
  private provedSeen({ subject, data }: EventRow): void {
    this.world.seen.add(`proof: ${data.proof}`)
    if (data.proof !== 'lease' && data.proof !== 'guardian') return
    const machine = this.world.truth.where(subject).find(({ name }) => name === data.node)
    if (machine !== undefined && !this.world.excused(machine))
      this.world.fail(`P4: ${subject} runs on ${machine.name}, and its token is taken for ended (${data.proof})`)
  }

  /** Whoever is challenged has its time to answer. */
  private condemnedSeen(state: ClusterState, id: string): void {
    const row = state.get('cases', id)
    const condemned = row?.timeline.findLast((line) => line.stage === 'CONDEMNED')
    if (row === undefined || condemned === undefined || row.trigger.startsWith('asked by')) return
    const { challenge, condemned: bound } = settingsOf(state)
    if (condemned.detail.includes('all its ports refuse')) {
      // Nobody is left there who could answer; one who came a moment ago may not have been heard yet.
      const machine = this.world.machine(row.node)
      if (machine?.bootId === row.boot && machine.attendedFor > bound + refusalGrain)
        this.world.fail(
          `${row.node} is condemned because all its ports refuse, and daemon and guardian have listened for ${machine.attendedFor} ms`,
        )
      return
    }
    // By the leader's clock, in ticks of 10 ms; time without a leader does not count.
    if (condemned.at - row.openedAt < bound - challenge - 25) {
      this.world.fail(`${row.node} is condemned ${condemned.at - row.openedAt} ms after its challenge`)
    }
  }

  // P5.

  renewed(machine: Machine): void {
    const { emergencyStop } = this.world.options
    const end = machine.clock.trueTime(machine.runFolder.deadline + emergencyStop)
    this.endOf.set(machine, end)
    // The grain of the clock, a look of the guardian, a kill.
    this.world.scheduler.at(end + 150, () => {
      if (this.endOf.get(machine) !== end || !machine.powered || this.world.excused(machine)) return
      if (this.detached.has(machine.bootId)) {
        if (this.world.truth.on(machine).length > 0) this.world.seen.add('detached')
        return
      }
      const goOn = [...machine.runFolder.records.values()].filter(outlastsLease).map(({ group }): string => group)
      const all = this.world.truth.on(machine)
      const running = all.filter((group) => !goOn.includes(group))
      if (all.length > running.length) this.world.seen.add('went on')
      if (running.length > 0) this.world.fail(`P5: ${running.join(', ')} runs on ${machine.name}, whose lease and emergency stop are over`)
    })
  }
}
