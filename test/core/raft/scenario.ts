/**
 * Plays a scenario script on members of `core/raft` alone and writes down what they did.
 *
 * A script is a row of steps: commands, a line of dashes, what was seen, an empty line. Lines that begin with # tell the
 * story. Nothing happens by itself: messages wait on the wire until they are delivered, writes (of members told to wait)
 * until they are persisted, and time is ticks.
 *
 * Commands:
 *   cluster voters=a,b,c [learners=d]        members with empty disks; ticks: election 10–20, heartbeat 2
 *   disk a term=3 [voted=b] log=1,1,3        what a's disk holds, one term an entry; before its first event
 *   elect a                                  ticks a until it stands, then settles
 *   tick a|all N                             N ticks; what is sent stays on the wire
 *   run N                                    N ticks of everybody, settling after each
 *   settle                                   delivers everything until nothing moves
 *   deliver a->b [kind] | drop a->b [kind]   the first such message (`*` for any member, `all` before it for every one)
 *   keep NAME a->b [kind] | replay NAME      takes a message off the wire; puts a copy of it back
 *   cut a [b] | cut a->b | heal [a]          what is sent over a cut is lost
 *   add|promote|remove a NAME[,NAME]         asks a for a change of the configuration (add: as a learner); replace a OLD[,OLD] NEW[,NEW]
 *   join d                                   a member with an empty disk that no configuration names yet
 *   compact a N                              entries up to N go; a snapshot stands for them
 *   chunks a N                               a sends snapshots in N chunks; slow members answer the shell's part by `answer a [N]`
 *   propose a TEXT | confirm a NAME | transfer a b | refused a b | awaits a b
 *   slow a | persist a [N] | fast a          writes wait; N of them end; they end by themselves again
 *   crash a | restart a                      what is not on disk is lost
 *   send a->b KIND key=value …               a message that somebody forged, or that is very late
 *   status [a] | log [a] | wire
 */

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type LogIndex, logIndex, type MemberId, type RequestId, type Term, term } from '../../../src/base/index.js'
import {
  type Configuration,
  type HardState,
  type LogEntry,
  type LogPosition,
  Raft,
  type RaftEffect,
  type RaftEvent,
  type RaftMessage,
  type SnapshotMeta,
} from '../../../src/core/raft/index.js'

export interface Step {
  /** Comments and commands, as they stand. */
  readonly lines: readonly string[]
  readonly expected: readonly string[]
}

export function parseScenario(text: string): readonly Step[] {
  const steps: Step[] = []
  let lines: string[] = []
  let expected: string[] | undefined
  const finish = () => {
    if (lines.length > 0) steps.push({ lines, expected: expected ?? [] })
    lines = []
    expected = undefined
  }
  for (const raw of text.split('\n')) {
    const line = raw.trimEnd()
    if (line === '----') expected = []
    else if (line === '') finish()
    else if (expected !== undefined) expected.push(line)
    else lines.push(line)
  }
  finish()
  return steps
}

/** The scripts are not compiled: they stand in the sources. */
export function scenarioFolder(): string {
  let root = import.meta.dirname
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  return join(root, 'test', 'core', 'raft', 'scenarios')
}

/** The script with what was seen now in place of what was expected. */
export function playScenario(text: string): string {
  const world = new World()
  const parts = parseScenario(text).map(({ lines }) => {
    const commands = lines.filter((line) => !line.startsWith('#'))
    const seen = commands.flatMap((line) => world.command(line))
    return [...lines, ...(commands.length === 0 ? [] : ['----', ...seen])].join('\n')
  })
  return `${parts.join('\n\n')}\n`
}

interface Pending {
  readonly sequence: number
  readonly hardState: HardState
  readonly entries: readonly LogEntry[]
}

interface Member {
  readonly name: string
  raft: Raft | undefined
  disk: { hardState: HardState; base: LogPosition; entries: LogEntry[]; applied: SnapshotMeta }
  /** Where the applied state stands in memory. */
  applied: SnapshotMeta
  readonly reading: Map<string, { readonly meta: SnapshotMeta; sequence: number }>
  answers: RaftEvent[]
  chunks: number
  slow: boolean
  pending: Pending[]
  starts: number
}

interface Wired {
  readonly from: string
  readonly to: string
  readonly message: RaftMessage
}

const timing = { electionTicksMin: 10, electionTicksMax: 20, heartbeatTicks: 2 }
const settleMax = 2_000
const nothing: SnapshotMeta = { index: logIndex(0), term: term(0), configuration: null }
const nobody: Configuration = { voters: [], learners: [], outgoing: [], places: {} }

class World {
  private readonly members = new Map<string, Member>()
  private configuration: Configuration = nobody
  private wire: Wired[] = []
  private readonly kept = new Map<string, Wired>()
  private readonly cuts = new Set<string>()
  private seen: string[] = []
  /** While settling, the many messages are not shown. */
  private quiet = false

  command(line: string): readonly string[] {
    this.seen = []
    const [verb = '', ...words] = line.split(/ +/)
    this.carryOut(verb, words)
    return this.seen
  }

  private carryOut(verb: string, words: readonly string[]): void {
    const [first = '', second = ''] = words
    switch (verb) {
      case 'cluster':
        return this.cluster(words)
      case 'disk':
        return this.setDisk(first, words.slice(1))
      case 'elect':
        return this.elect(first)
      case 'tick':
        for (let count = 0; count < Number(second || 1); count++) {
          for (const member of first === 'all' ? this.live() : [this.member(first)]) this.step(member, { kind: 'tick' })
        }
        return
      case 'run':
        for (let count = 0; count < Number(first); count++) {
          this.quietly(() => {
            for (const member of this.live()) this.step(member, { kind: 'tick' })
          })
          this.settle()
        }
        return
      case 'settle':
        return this.settle()
      case 'deliver':
      case 'drop':
        return this.moveMessages(verb, words)
      case 'keep':
        this.kept.set(first, this.take(second, words[2]) ?? fail(`nothing on the wire for ${words.join(' ')}`))
        return
      case 'replay':
        this.wire.push(this.kept.get(first) ?? fail(`nothing kept as ${first}`))
        return
      case 'cut':
      case 'heal':
        return this.cutOrHeal(verb, words)
      case 'propose':
        return this.step(this.member(first), { kind: 'proposed', requestId: words.slice(1).join(' ') as RequestId, command: bytes(second) })
      case 'awaits':
        return this.step(this.member(first), { kind: 'commit-awaited', by: second as MemberId })
      case 'confirm':
        return this.step(this.member(first), { kind: 'confirm-requested', requestId: second as RequestId })
      case 'transfer':
        return this.step(this.member(first), { kind: 'transfer-requested', to: second as MemberId })
      case 'add':
      case 'promote':
      case 'remove':
      case 'replace':
        return this.change(verb, words)
      case 'join':
        this.create(first)
        return this.start(this.member(first))
      case 'compact':
        this.member(first).disk.applied = this.member(first).applied
        return this.step(this.member(first), { kind: 'compact', upTo: logIndex(Number(second)) })
      case 'chunks':
        this.member(first).chunks = Number(second)
        return
      case 'answer':
        return this.answer(this.member(first), second === '' ? Number.POSITIVE_INFINITY : Number(second))
      case 'refused':
        return this.step(this.member(first), { kind: 'peer-refused', peer: second as MemberId })
      case 'slow':
        this.member(first).slow = true
        return
      case 'fast':
        this.member(first).slow = false
        this.persist(this.member(first), Number.POSITIVE_INFINITY)
        return this.answer(this.member(first), Number.POSITIVE_INFINITY)
      case 'persist':
        return this.persist(this.member(first), second === '' ? Number.POSITIVE_INFINITY : Number(second))
      case 'crash': {
        const member = this.member(first)
        member.raft = undefined
        member.pending = []
        member.answers = []
        member.reading.clear()
        return
      }
      case 'restart':
        return this.start(this.member(first))
      case 'send':
        return this.forge(words)
      case 'status':
        for (const member of first === '' ? this.members.values() : [this.member(first)]) this.seen.push(showStatus(member))
        return
      case 'log':
        for (const member of first === '' ? this.members.values() : [this.member(first)]) {
          this.seen.push(
            `${member.name}  on disk: ${member.disk.base.index > 0 ? `after ${member.disk.base.index}/${member.disk.base.term}: ` : ''}${member.disk.entries.map((entry) => `${entry.index}/${entry.term}`).join(' ') || 'nothing'}`,
          )
        }
        return
      case 'wire':
        for (const { from, to, message } of this.wire) this.seen.push(`${from} -> ${to}  ${showMessage(message)}`)
        return
      default:
        return fail(`no such verb: ${verb}`)
    }
  }

  private cluster(words: readonly string[]): void {
    const listed = (key: string) =>
      (words.find((word) => word.startsWith(`${key}=`))?.slice(key.length + 1) ?? '').split(',').filter((name) => name !== '') as MemberId[]
    this.configuration = { voters: listed('voters'), learners: listed('learners'), outgoing: [], places: {} }
    for (const name of [...this.configuration.voters, ...this.configuration.learners]) {
      this.create(name)
      this.start(this.member(name))
    }
  }

  private create(name: string): void {
    this.members.set(name, {
      name,
      raft: undefined,
      disk: { hardState: { term: term(0), votedFor: null }, base: nothing, entries: [], applied: nothing },
      applied: nothing,
      reading: new Map(),
      answers: [],
      chunks: 2,
      slow: false,
      pending: [],
      starts: 0,
    })
  }

  private change(verb: 'add' | 'promote' | 'remove' | 'replace', words: readonly string[]): void {
    const [asked = '', first = '', second = ''] = words
    const names = first.split(',') as MemberId[]
    const change =
      verb === 'replace'
        ? { add: [], promote: second.split(',') as MemberId[], remove: names }
        : {
            add: verb === 'add' ? names.map((member) => ({ member, place: { node: member as never, addresses: [] } })) : [],
            promote: verb === 'promote' ? names : [],
            remove: verb === 'remove' ? names : [],
          }
    this.step(this.member(asked), {
      kind: 'configuration-requested',
      requestId: `${verb} ${words.slice(1).join(' ')}` as RequestId,
      change,
    })
  }

  private setDisk(name: string, words: readonly string[]): void {
    const values = keyed(words)
    const member = this.member(name)
    const terms = (values.get('log') ?? '').split(',').filter((one) => one !== '')
    member.applied = nothing
    member.disk = {
      base: nothing,
      applied: nothing,
      hardState: {
        term: term(Number(values.get('term') ?? terms.at(-1) ?? 0)),
        votedFor: (values.get('voted') ?? null) as MemberId | null,
      },
      entries: terms.map((one, at) => ({
        index: logIndex(at + 1),
        term: term(Number(one)),
        kind: 'command',
        data: bytes(`${one}.${at + 1}`),
      })),
    }
    this.start(member)
  }

  private start(member: Member): void {
    member.starts++
    member.applied = member.disk.applied
    member.raft = new Raft({
      self: member.name as MemberId,
      configuration: [...this.configuration.voters, ...this.configuration.learners].includes(member.name as MemberId)
        ? this.configuration
        : nobody,
      timing,
      hardState: member.disk.hardState,
      base: member.disk.base,
      entries: member.disk.entries,
      applied: member.disk.applied,
      seed: member.name.charCodeAt(0) * 7919 + member.starts,
    })
  }

  private elect(name: string): void {
    const member = this.member(name)
    for (let ticks = 0; ticks < 100 && member.raft?.status.role === 'follower'; ticks++)
      this.quietly(() => this.step(member, { kind: 'tick' }))
    this.settle()
  }

  private settle(): void {
    this.quietly(() => {
      for (let moved = 0; this.wire.length > 0; moved++) {
        assert.ok(moved < settleMax, 'the members talk without end')
        this.arrive(this.wire.shift() as Wired)
      }
    })
  }

  private quietly(act: () => void): void {
    const before = this.quiet
    this.quiet = true
    act()
    this.quiet = before
  }

  private moveMessages(verb: 'deliver' | 'drop', words: readonly string[]): void {
    const all = words[0] === 'all'
    const [link = '', kind] = all ? words.slice(1) : words
    const taken: Wired[] = []
    for (let next = this.take(link, kind); next !== undefined; next = all ? this.take(link, kind) : undefined) taken.push(next)
    if (taken.length === 0) return fail(`nothing on the wire for ${words.join(' ')}`)
    if (verb === 'deliver') for (const message of taken) this.arrive(message)
  }

  private take(link: string, kind: string | undefined): Wired | undefined {
    const [from, to] = link.split('->')
    const fits = (name: string, wanted: string | undefined) => wanted === '*' || name === wanted
    const at = this.wire.findIndex(
      (wired) => fits(wired.from, from) && fits(wired.to, to) && (kind === undefined || kindOf(wired.message) === kind),
    )
    return at < 0 ? undefined : this.wire.splice(at, 1)[0]
  }

  private cutOrHeal(verb: 'cut' | 'heal', words: readonly string[]): void {
    const [first, second] = words
    if (verb === 'heal' && first === undefined) return this.cuts.clear()
    const names = [...this.members.keys()]
    const links = first?.includes('->')
      ? [first]
      : names
          .filter((name) => name !== first && (second === undefined || name === second))
          .flatMap((name) => [`${first}->${name}`, `${name}->${first}`])
    for (const link of links) {
      if (verb === 'cut') this.cuts.add(link)
      else this.cuts.delete(link)
    }
    if (verb === 'cut') this.wire = this.wire.filter(({ from, to }) => !links.includes(`${from}->${to}`))
  }

  private forge(words: readonly string[]): void {
    const [link = '', kind = '', ...rest] = words
    const [from = '', to = ''] = link.split('->')
    const values = keyed(rest)
    const number = (key: string) => Number(values.get(key) ?? 0)
    const pre = kind.startsWith('pre-')
    const base = { term: number('term') as Term, round: number('round') }
    const messages: Record<string, RaftMessage> = {
      'vote-request': {
        kind: 'vote-request',
        ...base,
        pre,
        lastIndex: number('last') as LogIndex,
        lastTerm: number('lastTerm') as Term,
        transfer: values.has('transfer'),
      },
      'vote-response': { kind: 'vote-response', ...base, pre, granted: values.get('granted') === 'yes' },
      heartbeat: { kind: 'heartbeat', ...base, commit: number('commit') as LogIndex },
      'heartbeat-response': { kind: 'heartbeat-response', ...base, durable: number('durable') as LogIndex },
      'timeout-now': { kind: 'timeout-now', term: base.term },
      'append-response': {
        kind: 'append-response',
        term: base.term,
        success: values.get('success') === 'yes',
        index: number('index') as LogIndex,
        hintIndex: number('hint') as LogIndex,
        hintTerm: number('hintTerm') as Term,
      },
      snapshot: {
        kind: 'snapshot',
        term: base.term,
        meta: { index: number('index') as LogIndex, term: number('of') as Term, configuration: this.configuration },
        transfer: number('transfer'),
        sequence: number('chunk'),
        data: new Uint8Array(),
        last: values.has('last'),
      },
      append: {
        kind: 'append',
        term: base.term,
        prevIndex: number('prev') as LogIndex,
        prevTerm: number('prevTerm') as Term,
        commit: number('commit') as LogIndex,
        entries: (values.get('entries') ?? '')
          .split(',')
          .filter((one) => one !== '')
          .map((one, at) => ({ index: logIndex(number('prev') + at + 1), term: term(Number(one)), kind: 'command', data: bytes(one) })),
      },
    }
    this.arrive({ from, to, message: messages[kind.replace(/^pre-/, '')] ?? fail(`no such message: ${kind}`) })
  }

  private arrive({ from, to, message }: Wired): void {
    const member = this.members.get(to)
    if (member?.raft !== undefined) this.step(member, { kind: 'received', from: from as MemberId, message })
  }

  private step(member: Member, event: RaftEvent): void {
    assert.ok(member.raft !== undefined, `${member.name} is up`)
    for (const effect of member.raft.step([event])) this.perform(member, effect)
    if (!member.slow) {
      this.persist(member, Number.POSITIVE_INFINITY)
      this.answer(member, Number.POSITIVE_INFINITY)
    }
  }

  /** What the shell was asked to do with snapshots ends. */
  private answer(member: Member, count: number): void {
    for (let done = 0; done < count && member.answers.length > 0; done++) {
      const event = member.answers.shift() as RaftEvent
      for (const effect of member.raft?.step([event]) ?? []) this.perform(member, effect)
      if (!member.slow) this.persist(member, Number.POSITIVE_INFINITY)
    }
  }

  private persist(member: Member, count: number): void {
    for (let done = 0; done < count && member.pending.length > 0; done++) {
      const { sequence, hardState, entries } = member.pending.shift() as Pending
      const first = entries[0]
      const kept = first === undefined ? member.disk.entries : member.disk.entries.filter((entry) => entry.index < first.index)
      member.disk = { ...member.disk, hardState, entries: [...kept, ...entries] }
      for (const effect of member.raft?.step([{ kind: 'persisted', sequence }]) ?? []) this.perform(member, effect)
    }
  }

  private perform(member: Member, effect: RaftEffect): void {
    const { name } = member
    switch (effect.kind) {
      case 'persist':
        member.pending.push(effect)
        if (member.slow) this.seen.push(`${name}  writes ${showWrite(effect)}`)
        return
      case 'send':
        if (this.cuts.has(`${name}->${effect.to}`)) return
        this.wire.push({ from: name, to: effect.to, message: effect.message })
        if (!this.quiet) this.seen.push(`${name} -> ${effect.to}  ${showMessage(effect.message)}`)
        return
      case 'apply':
        this.seen.push(`${name}  applies ${effect.entries.map((entry) => `${entry.index}/${entry.term}`).join(' ')}`)
        for (const { index, term: of, kind } of effect.entries) {
          const configuration = kind === 'configuration' ? (member.raft as Raft).configurationAt(index) : member.applied.configuration
          member.applied = { index, term: of, configuration }
        }
        return
      case 'configuration-changed':
        this.seen.push(`${name}  goes by ${showConfiguration(effect.configuration)}`)
        return
      case 'member-regressed':
        this.seen.push(`${name}  finds that ${effect.member} acknowledged ${effect.acknowledged} and shows ${effect.shows}`)
        return
      case 'compacted':
        this.seen.push(`${name}  lets go of its log up to ${effect.index}`)
        return this.cut(member, effect.index)
      case 'snapshot-read': {
        const key = `${effect.to}/${effect.transfer}`
        const reading = member.reading.get(key) ?? { meta: member.applied, sequence: 0 }
        member.reading.set(key, reading)
        const sequence = reading.sequence++
        member.answers.push({
          kind: 'snapshot-chunk',
          to: effect.to,
          transfer: effect.transfer,
          sequence,
          meta: reading.meta,
          data: new Uint8Array(),
          last: sequence === member.chunks - 1,
        })
        return
      }
      case 'snapshot-close':
        member.reading.delete(`${effect.to}/${effect.transfer}`)
        return
      case 'snapshot-write':
        if (member.slow) this.seen.push(`${name}  writes chunk ${effect.sequence} of snapshot ${effect.source}`)
        member.answers.push({ kind: 'snapshot-written', source: effect.source, sequence: effect.sequence })
        return
      case 'snapshot-install':
        this.seen.push(
          `${name}  installs the snapshot of ${effect.meta.index}/${effect.meta.term}, ${effect.keepTail ? 'keeps what follows' : 'and nothing of its log'}`,
        )
        member.applied = effect.meta
        member.disk.applied = effect.meta
        if (!effect.keepTail) member.disk.entries = []
        this.cut(member, effect.meta.index, effect.meta.term)
        member.answers.push({ kind: 'snapshot-installed', source: effect.source })
        return
      case 'snapshot-abandon':
        this.seen.push(`${name}  has no use for snapshot ${effect.source}`)
        return
      case 'accepted':
        this.seen.push(`${name}  takes "${effect.requestId}" as ${effect.index}/${effect.term}`)
        return
      case 'refused':
        this.seen.push(`${name}  refuses "${effect.requestId}": ${effect.reason}, leader ${effect.leader ?? 'unknown'}`)
        return
      case 'confirmed':
        this.seen.push(`${name}  confirms "${effect.requestId}" at ${effect.readIndex}`)
        return
      case 'confirm-failed':
        this.seen.push(`${name}  cannot confirm "${effect.requestId}"`)
        return
      case 'role-changed':
        this.seen.push(`${name}  ${effect.role} at term ${effect.term}, leader ${effect.leader ?? 'unknown'}`)
        return
      case 'transfer-ended':
        this.seen.push(`${name}  transfer to ${effect.to} ${effect.outcome}`)
        return
    }
  }

  private cut(member: Member, index: LogIndex, at?: Term): void {
    const cutTerm = member.disk.entries.find((entry) => entry.index === index)?.term ?? at
    assert.ok(cutTerm !== undefined && index <= member.disk.applied.index, 'the log is cut only up to what is stored')
    member.disk.base = { index, term: cutTerm }
    member.disk.entries = member.disk.entries.filter((entry) => entry.index > index)
  }

  private live(): readonly Member[] {
    return [...this.members.values()].filter((member) => member.raft !== undefined)
  }

  private member(name: string): Member {
    return this.members.get(name) ?? fail(`no member ${name}`)
  }
}

function kindOf(message: RaftMessage): string {
  return (message.kind === 'vote-request' || message.kind === 'vote-response') && message.pre ? `pre-${message.kind}` : message.kind
}

function showMessage(message: RaftMessage): string {
  const head = `${kindOf(message)} term=${message.term}`
  switch (message.kind) {
    case 'vote-request':
      return `${head} last=${message.lastIndex}/${message.lastTerm}${message.transfer ? ' transfer' : ''}`
    case 'vote-response':
      return `${head} ${message.granted ? 'yes' : 'no'}`
    case 'append':
      return `${head} after=${message.prevIndex}/${message.prevTerm} entries=${message.entries.map((entry) => `${entry.index}/${entry.term}`).join(',') || 'none'} commit=${message.commit}`
    case 'append-response':
      return message.success
        ? `${head} matches ${message.index}`
        : `${head} does not fit at ${message.index}, look at ${message.hintIndex}/${message.hintTerm}`
    case 'heartbeat':
      return `${head} round=${message.round} commit=${message.commit}`
    case 'heartbeat-response':
      return `${head} round=${message.round}`
    case 'timeout-now':
      return head
    case 'snapshot':
      return `${head} of ${message.meta.index}/${message.meta.term} transfer=${message.transfer} chunk=${message.sequence}${message.last ? ' last' : ''}`
    case 'snapshot-response':
      return `${head} transfer=${message.transfer} ${message.lost ? 'is not known' : `next=${message.next}`}`
  }
}

function showWrite({ hardState, entries }: Pick<Pending, 'hardState' | 'entries'>): string {
  const vote = hardState.votedFor === null ? '' : ` vote ${hardState.votedFor}`
  const shown = entries.length === 0 ? '' : ` entries ${entries.map((entry) => `${entry.index}/${entry.term}`).join(' ')}`
  return `term ${hardState.term}${vote}${shown}`
}

function showConfiguration({ voters, learners, outgoing }: Configuration): string {
  const parts = [`voters ${voters.join(',')}`]
  if (outgoing.length > 0) parts.push(`and also ${outgoing.join(',')}`)
  if (learners.length > 0) parts.push(`learners ${learners.join(',')}`)
  return parts.join(' ')
}

function showStatus(member: Member): string {
  if (member.raft === undefined) return `${member.name}  down`
  const { role, term: now, leader, commitIndex, lastIndex, lastTerm } = member.raft.status
  return `${member.name}  ${role} at term ${now}, leader ${leader ?? 'unknown'}, committed ${commitIndex}, last ${lastIndex}/${lastTerm}`
}

function keyed(words: readonly string[]): ReadonlyMap<string, string> {
  return new Map(words.map((word) => [word.split('=')[0] as string, word.split('=')[1] ?? '']))
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

function fail(text: string): never {
  throw new Error(text)
}
