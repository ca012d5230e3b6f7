/**
 * An emergency stop: asks nobody, and is finished once begun.
 *
 * Tokens are sealed before anything else, so what is killed from then on cannot come back. Monitors and what they had
 * in flight go first; then addresses, then every resource by its own stop, in reverse order; what is left when most of
 * the time is used up is killed; then everything is verified, by its empty cell and by its own probe.
 */
import { type BootInstant, bootInstant, type GroupName, type ResourceName, type Token } from '../../base/index.js'
import { primaryOf } from '../cluster/index.js'
import { cellOf, type GroupHost, GroupRun, isAddress, isCalm, type MonitorEffect, type RunRecord } from '../monitor/index.js'
import type { GuardianEffect, GuardianEvent } from './events.js'

/** Share of the time that orderly stops may take; the rest is for killing and verifying. */
const orderlyShare = 0.6
/** Share of the time for one address to be taken down. */
const addressShare = 0.2
/** Share of the time for one copy to be demoted; the rest is for stopping it. */
const roleShare = 0.5
/** What a kill or a verification may always take, also past the end. */
const leastTime = 500

export interface EmergencyHost {
  emit(effect: GuardianEffect): void
  newAction(): number
}

export class Emergency {
  readonly reason: string
  readonly tokens = new Map<GroupName, Token>()
  readonly #host: EmergencyHost
  readonly #hurryAt: BootInstant
  readonly #endAt: BootInstant
  readonly #endings = new Map<GroupName, GroupRun>()
  readonly #actions = new Map<number, GroupName>()
  /** Kills of processes that stood still: what is left of their groups is ended after them. */
  readonly #kills = new Map<number, RunRecord>()
  /** Groups that stand still and may yet go on. */
  readonly #spared: Set<GroupName>
  /** Copies that go on without a lease, as long as nothing is done about them and their role can be ended without them. */
  readonly #goingOn: Set<GroupName>
  /** Groups whose processes stood still: killed before anything else is done with them. */
  readonly #frozen: Set<GroupName>
  readonly #begun = new Set<string>()
  #phase: 'killing-monitors' | 'reading' | 'ending' = 'killing-monitors'
  #unproved: string[] = []
  #hurried = false
  #now: BootInstant

  /** `budget` is `emergencyStop` in milliseconds. */
  constructor(
    host: EmergencyHost,
    reason: string,
    open: ReadonlyMap<GroupName, Token>,
    now: BootInstant,
    budget: number,
    {
      spared = [],
      frozen = [],
      goingOn = [],
    }: { readonly spared?: Iterable<GroupName>; readonly frozen?: Iterable<GroupName>; readonly goingOn?: Iterable<GroupName> } = {},
  ) {
    this.reason = reason
    this.#spared = new Set(spared)
    this.#frozen = new Set(frozen)
    this.#goingOn = new Set(goingOn)
    this.#host = host
    this.#now = now
    this.#hurryAt = bootInstant(now + budget * orderlyShare)
    this.#endAt = bootInstant(now + budget)
    this.#sealAll(open)
    host.emit({ kind: 'kill-monitors' })
  }

  /** Undefined until everything that can be done has been. `problems` is empty when all is verified stopped. */
  get outcome(): { readonly problems: readonly string[] } | undefined {
    if (this.#phase !== 'ending' || this.#kills.size > 0) return undefined
    if ([...this.#endings.values()].some((run) => !run.finished && !run.settled)) return undefined
    const problems = [...this.#endings.values()].flatMap((run) => (run.finished ? [] : [this.#problemOf(run)]))
    return { problems: [...this.#unproved, ...problems] }
  }

  onMonitorsKilled(gone: boolean) {
    if (this.#phase !== 'killing-monitors') return
    if (!gone) this.#unproved.push('a monitor, or something it had in flight, could not be killed')
    this.#phase = 'reading'
    this.#host.emit({ kind: 'read-records' })
  }

  /** They were spared and must end now, like the rest; those that stand still are killed before anything else of them is touched. */
  take(groups: ReadonlyMap<GroupName, Token>, now: BootInstant, { standsStill = true } = {}) {
    this.#now = now
    for (const group of groups.keys()) {
      this.#spared.delete(group)
      this.#goingOn.delete(group)
      if (standsStill) this.#frozen.add(group)
    }
    this.#sealAll(groups)
    this.#readAgain()
  }

  #readAgain() {
    if (this.#phase !== 'ending') return // They are among the records that are still to be read.
    this.#phase = 'reading'
    this.#host.emit({ kind: 'read-records' })
  }

  onRecords(event: Extract<GuardianEvent, { kind: 'records' }>, now: BootInstant) {
    if (this.#phase !== 'reading') return
    this.#now = now
    this.#phase = 'ending'
    // Its start or stop was ended with the monitor: who comes after that one would not know.
    for (const record of event.readable) if (!isCalm(record)) this.#goingOn.delete(record.group)
    for (const lost of event.unreadable) {
      this.#goingOn.delete(lost.group)
      // Nobody could demote the copy of a role that is known of no more.
      for (const copy of this.#goingOn) if (primaryOf(copy) === lost.group) this.#goingOn.delete(copy)
    }
    const isNew = ({ group, token }: { readonly group: GroupName; readonly token: Token }) =>
      !this.#spared.has(group) && !this.#goingOn.has(group) && !this.#begun.has(`${group}@${token}`)
    const [readable, unreadable] = [event.readable.filter(isNew), event.unreadable.filter(isNew)]
    for (const { group, token } of [...readable, ...unreadable]) this.#begun.add(`${group}@${token}`)
    // A record may have been written since the tokens were sealed.
    this.#sealAll(new Map([...readable, ...unreadable].map(({ group, token }) => [group, token])))
    for (const lost of unreadable) this.#unproved.push(`${lost.group}: ${lost.reason}`)
    for (const record of readable) {
      if (this.#frozen.has(record.group)) this.#killFrozen(record)
      else this.#end(record, now)
    }
    this.#advance(now)
  }

  #end(record: RunRecord, now: BootInstant) {
    const run = GroupRun.resume(this.#hostOf(record), record, now, { sealed: true, emergency: true })
    if (this.#hurried) run.hurry()
    this.#endings.set(record.group, run)
  }

  /** What stands still cannot be stopped in order, and must not go on: it is killed, and what holds no process is ended after it. */
  #killFrozen(record: RunRecord) {
    const touched = Object.entries(record.progress).flatMap(([name, { touched }]) => (touched ? [name as ResourceName] : []))
    for (const resource of touched) {
      const action = this.#host.newAction()
      this.#kills.set(action, record)
      const timeout = Math.max(leastTime, this.#endAt - this.#now)
      const definition = record.resources[resource]
      const whose = definition === undefined ? {} : cellOf(definition, record.node)
      this.#host.emit({ kind: 'kill', action, group: record.group, resource, place: record.containment, ...whose, timeout })
    }
    if (touched.length === 0) this.#end(record, this.#now)
  }

  onMethodDone(event: Extract<GuardianEvent, { kind: 'method-done' }>, now: BootInstant) {
    this.#takeOwner(event.action)?.onMethodDone(event.result, now)
    this.#advance(now)
  }

  onKilled(event: Extract<GuardianEvent, { kind: 'killed' }>, now: BootInstant) {
    const record = this.#kills.get(event.action)
    if (record !== undefined) {
      this.#kills.delete(event.action)
      if (![...this.#kills.values()].includes(record)) this.#end(record, now)
      return this.#advance(now)
    }
    this.#takeOwner(event.action)?.onKilled(event.empty)
    this.#advance(now)
  }

  onTime(now: BootInstant) {
    if (this.#phase !== 'ending' || this.#hurried || now < this.#hurryAt) return
    this.#hurried = true
    for (const run of this.#endings.values()) run.hurry()
    this.#advance(now)
  }

  #advance(now: BootInstant) {
    this.#now = now
    this.#advanceEach(now)
    // The end of one may be what another has waited for.
    this.#advanceEach(now)
  }

  #advanceEach(now: BootInstant) {
    for (const [group, run] of [...this.#endings]) {
      const before = JSON.stringify(run.record())
      run.advance(now)
      if (run.finished) {
        this.#endings.delete(group)
        // A role of which nobody could tell has ended with its copy.
        if (run.isPromotable) this.#endings.get(primaryOf(group))?.retry()
        this.#host.emit({ kind: 'delete-record', group, token: run.token })
      } else if (JSON.stringify(run.record()) !== before) {
        this.#host.emit({ kind: 'write-record', record: run.record() })
      }
      // Nobody can tell its role: it ends with the copy.
      if (!run.finished && run.settled) for (const copy of run.copies) this.#endToo(copy)
    }
  }

  /** A copy that was to go on. */
  #endToo(copy: GroupName) {
    if (this.#goingOn.delete(copy)) this.#readAgain()
  }

  #sealAll(tokens: ReadonlyMap<GroupName, Token>) {
    for (const [group, token] of tokens) {
      if ((this.tokens.get(group) ?? -1) >= token) continue
      this.tokens.set(group, token)
      this.#host.emit({ kind: 'seal', group, token })
    }
  }

  #takeOwner(action: number) {
    const group = this.#actions.get(action)
    this.#actions.delete(action)
    return group === undefined ? undefined : this.#endings.get(group)?.ownerOf(action)
  }

  #problemOf(run: GroupRun): string {
    const stuck = Object.entries(run.report().resources).flatMap(([name, { state, detail }]) =>
      state === 'STOPPED' ? [] : [`${name} is ${state}${detail === undefined ? '' : ` (${detail})`}`],
    )
    return `${run.group}: ${stuck.join(', ')}`
  }

  #hostOf({ group }: RunRecord): GroupHost {
    return {
      emit: (effect) => this.#pass(effect),
      newAction: () => {
        const action = this.#host.newAction()
        this.#actions.set(action, group)
        return action
      },
      jitter: () => 0,
      mayStart: () => false,
      // A copy is demoted before it is stopped: agents expect it so.
      holdsBack: ({ promotable, role }) => {
        const primary = promotable === true && role === undefined ? this.#endings.get(primaryOf(group)) : undefined
        return primary !== undefined && !primary.finished && !primary.settled
      },
      limit: (method, { type, role }) => {
        const until = method === 'stop' ? this.#hurryAt : this.#endAt
        const left = Math.max(leastTime, until - this.#now)
        const share = isAddress(type) ? addressShare : role !== undefined ? roleShare : 1
        return method === 'stop' ? Math.max(leastTime, left * share) : left
      },
    }
  }

  #pass(effect: MonitorEffect) {
    if (effect.kind === 'begin') {
      this.#host.emit({ kind: 'begin', action: effect.action, request: effect.request })
    } else if (effect.kind === 'kill') {
      // What is killed for its role is ended in order, not left for a copy that runs.
      if (effect.cellOf !== undefined) this.#endToo(effect.cellOf)
      this.#host.emit({ ...effect, timeout: Math.max(leastTime, this.#endAt - this.#now) })
    } else if (effect.kind === 'cancel') {
      this.#host.emit(effect)
    }
  }
}
