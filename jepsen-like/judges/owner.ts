/** Whether there was ever more than one copy of the service, by what it wrote down itself and what its clients saw. */
import type { Json } from '../checkers/index.js'
import { completed, type Judge, type Note, offendingMax, type RunRecord, reasonFor, type SeenEvent } from './record.js'

export interface Copy {
  readonly node: string
  readonly token: number
  readonly pid: number
  readonly from: number
  readonly to: number
  readonly stopped: boolean
}

/** A copy surely ran from its first note to its last. In the order in which they began. */
export function copiesOf(notes: readonly Note[]): readonly Copy[] {
  const copies = new Map<string, Copy>()
  for (const { at, node, token, pid, what } of notes) {
    if (what === 'locked') continue
    const name = `${node}/${token}/${pid}`
    const known = copies.get(name)
    copies.set(name, {
      node,
      token,
      pid,
      from: Math.min(known?.from ?? at, at),
      to: Math.max(known?.to ?? at, at),
      stopped: known?.stopped === true || what === 'stop',
    })
  }
  return [...copies.values()].sort((a, b) => a.from - b.from)
}

/** P1, on intervals of real time, and by the kernel: the lock that a copy holds refuses every other one. */
export const oneOwner: Judge = ({ notes }) => {
  const judge = 'one-owner'
  const copies = copiesOf(notes)
  const doubles: Json[] = []
  let latest: Copy | undefined
  for (const copy of copies) {
    if (latest !== undefined && copy.from < latest.to) doubles.push([{ ...latest }, { ...copy }] as unknown as Json)
    if (latest === undefined || copy.to > latest.to) latest = copy
  }
  const locked = notes.filter(({ what }) => what === 'locked')
  const figures = { copies: copies.length, doubles: doubles.length, refusedByLock: locked.length }
  if (doubles.length + locked.length > 0) {
    const offending = [...doubles, ...locked.map((note) => ({ ...note }) as unknown as Json)].slice(0, offendingMax)
    return {
      judge,
      valid: false,
      text: `${doubles.length} pairs of copies ran at one instant, ${locked.length} starts met the lock of another copy`,
      offending,
      figures,
    }
  }
  if (copies.length < 2) return { judge, valid: 'unknown', text: `there were ${copies.length} copies: nothing was taken over`, figures }
  return { judge, valid: true, text: `${copies.length} copies, one after the other`, figures }
}

interface Answer {
  readonly from: number
  readonly to: number
  readonly node: string
  readonly token: number
  readonly count: number
  readonly left: number
}

function answers({ events }: RunRecord): readonly Answer[] {
  return completed(events, 'owner')
    .filter(({ type }) => type === 'ok')
    .map(({ from, to, value }) => ({ from, to, ...(value as unknown as Omit<Answer, 'from' | 'to'>) }))
}

/** For each answer, the worst of what was complete before it was asked for. */
function judgeAnswers(
  record: RunRecord,
  before: (earlier: Answer) => number,
  fits: (answer: Answer, highest: number) => boolean,
): readonly { readonly answer: Answer; readonly highest: number }[] {
  const byEnd = answers(record).toSorted((a, b) => a.to - b.to)
  const byBegin = byEnd.toSorted((a, b) => a.from - b.from)
  const bad: { answer: Answer; highest: number }[] = []
  let highest = Number.NEGATIVE_INFINITY
  let next = 0
  for (const answer of byBegin) {
    for (; next < byEnd.length && (byEnd[next] as Answer).to < answer.from; next++)
      highest = Math.max(highest, before(byEnd[next] as Answer))
    if (!fits(answer, highest)) bad.push({ answer, highest })
  }
  return bad
}

/** Once a later grant has answered at the address, no earlier one does. */
export const noLateOwner: Judge = (record) => {
  const judge = 'no-late-owner'
  const tokens = new Set(answers(record).map(({ token }) => token))
  const late = judgeAnswers(
    record,
    ({ token }) => token,
    ({ token }, highest) => token >= highest,
  )
  if (late.length > 0) {
    const offending = late.slice(0, offendingMax).map((one) => ({ ...one }) as unknown as Json)
    return { judge, valid: false, text: `${late.length} answers came from an earlier owner after a later one had answered`, offending }
  }
  if (tokens.size < 2) return { judge, valid: 'unknown', text: `${tokens.size} owners answered` }
  return { judge, valid: true, text: `${tokens.size} owners answered, each only before the next` }
}

/** What a copy surely left is there for every later one. */
export const checkpoints: Judge = (record) => {
  const judge = 'checkpoints'
  const tokens = new Set(answers(record).map(({ token }) => token))
  const lost = judgeAnswers(
    record,
    ({ left }) => left,
    ({ count }, highest) => count >= highest,
  )
  if (lost.length > 0) {
    const offending = lost.slice(0, offendingMax).map((one) => ({ ...one }) as unknown as Json)
    return { judge, valid: false, text: `${lost.length} answers counted from less than what had been left for them`, offending }
  }
  if (tokens.size < 2) return { judge, valid: 'unknown', text: 'nothing was handed over' }
  return { judge, valid: true, text: `${tokens.size - 1} times the count was handed over` }
}

/** Time between the end of a copy and the first answer of the next, and its bound where one honest crash was all that happened. */
export const takeovers: (boundMs: number) => Judge = (boundMs) => (record) => {
  const judge = 'takeovers'
  const copies = copiesOf(record.notes)
  const successes = answers(record).toSorted((a, b) => a.to - b.to)
  const gaps: number[] = []
  const late: Json[] = []
  for (const [at, copy] of copies.entries()) {
    const next = copies[at + 1]
    if (next === undefined || next.node === copy.node) continue
    const answer = successes.find(({ token, to }) => token === next.token && to > copy.to)
    if (answer === undefined) continue
    gaps.push(answer.to - copy.to)
    const about = record.bands.filter(({ from, to }) => from <= answer.to && to >= copy.to - 15_000)
    const [only] = about
    const isPlain =
      about.length === 1 &&
      only?.fault === 'crash-node' &&
      !record.stalls.some((stall) => stall.at > copy.to - 1_000 && stall.at < answer.to && stall.ms > 500)
    if (isPlain && answer.to - copy.to > boundMs) late.push({ from: copy.node, to: next.node, at: copy.to, ms: answer.to - copy.to })
  }
  const sorted = gaps.toSorted((a, b) => a - b)
  const share = (part: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0)
  const figures = { takeovers: gaps.length, medianMs: share(0.5), p95Ms: share(0.95), maxMs: share(1) }
  if (late.length > 0)
    return {
      judge,
      valid: false,
      text: `${late.length} takeovers after a crash took longer than ${boundMs} ms`,
      offending: late.slice(0, offendingMax),
      figures,
    }
  if (gaps.length === 0) return { judge, valid: 'unknown', text: 'nothing was taken over by another node', figures }
  return { judge, valid: true, text: `${gaps.length} takeovers, median ${figures.medianMs} ms, longest ${figures.maxMs} ms`, figures }
}

/** When nothing is broken any more, the service answers again within the bound. */
export const gaps: (boundMs: number) => Judge = (boundMs) => gapsOf('gaps', 'owner', boundMs)

/** The same for a service of any kind. */
export const addressGaps: (boundMs: number) => Judge = (boundMs) => gapsOf('address-gaps', 'address', boundMs)

const gapsOf =
  (judge: string, workload: string, boundMs: number): Judge =>
  (record) => {
    const times = completed(record.events, workload)
      .filter(({ type }) => type === 'ok')
      .map(({ to }) => to)
      .toSorted((a, b) => a - b)
    if (times.length < 2) return { judge, valid: 'unknown', text: 'the service hardly answered' }
    let longest = 0
    const bad: Json[] = []
    for (const [at, time] of times.entries()) {
      const next = times[at + 1]
      if (next === undefined) break
      longest = Math.max(longest, next - time)
      // Of the gap, what lies after the last fault that touches it.
      const since = record.bands.reduce(
        (most, { from, to }) => (from < next && to > time - boundMs ? Math.max(most, Math.min(to, next)) : most),
        time,
      )
      if (next - since > boundMs && !record.stalls.some((stall) => stall.at > since && stall.at < next && stall.ms > 1_000))
        bad.push({ from: time, to: next, calmSince: since })
    }
    const figures = { longestMs: Math.round(longest), answers: times.length }
    const isOperated = record.events.some(({ workload }) => workload === 'operators')
    if (bad.length > 0 && !isOperated)
      return {
        judge,
        valid: false,
        text: `the service did not answer for more than ${boundMs} ms while nothing was broken`,
        offending: bad.slice(0, offendingMax),
        figures,
      }
    return { judge, valid: true, text: `longest time without an answer ${figures.longestMs} ms`, figures }
  }

/**
 * At the address of the group somebody else answers only after a grant: there are not more changes of who answers than grants. Of a
 * service that does not say who it is, nothing can be said.
 */
export const oneAnswerer: (group: string) => Judge =
  (group) =>
  ({ events, finals }) => {
    const judge = 'one-answerer'
    const said = completed(events, 'address').flatMap(({ type, value, from, to }) => {
      const node = type === 'ok' ? ((value as { readonly node?: string | null } | undefined)?.node ?? undefined) : undefined
      return node === undefined ? [] : [{ node, from, to }]
    })
    const changes = said.filter(({ node }, at) => at > 0 && said[at - 1]?.node !== node)
    const longest = Object.values(finals).toSorted((a, b) => b.length - a.length)[0]
    const figures = { answers: said.length, changes: changes.length }
    if (said.length === 0) return { judge, valid: 'unknown', text: 'no answer said who gave it', figures }
    if (longest === undefined) return { judge, valid: 'unknown', text: 'no journal could be read', figures }
    const grants = longest.filter(({ kind, subject }) => kind === 'decision.grant' && subject === group).length
    if (changes.length > grants)
      return {
        judge,
        valid: false,
        text: `who answered changed ${changes.length} times, with ${grants} grants of the group`,
        offending: changes.slice(0, offendingMax).map(({ node, from, to }) => ({ node, from, to })),
        figures,
      }
    if (changes.length === 0) return { judge, valid: 'unknown', text: 'one node answered all the time', figures }
    return { judge, valid: true, text: `who answered changed ${changes.length} times, with ${grants} grants of the group`, figures }
  }

const settling = 20_000

/** The service is stopped, and nodes are challenged, only for a fault that may do so, or where somebody asked for it. */
export const noNeedlessAction: Judge = (record) => {
  const judge = 'no-needless-action'
  const copies = copiesOf(record.notes)
  const needless: Json[] = []
  for (const copy of copies.slice(0, -1)) {
    if (reasonFor(record, copy.to, settling) === undefined)
      needless.push({ what: 'a copy ended', node: copy.node, at: copy.to, stopped: copy.stopped })
  }
  const first = new Map<string, SeenEvent>()
  for (const event of Object.values(record.streams).flat()) {
    if (event.kind !== 'case.opened') continue
    const name = `${event.revision}.${event.number}`
    if ((first.get(name)?.time ?? Number.POSITIVE_INFINITY) > (event.time ?? 0)) first.set(name, event)
  }
  for (const { time = 0, text, subject } of first.values()) {
    if (reasonFor(record, time, settling) === undefined)
      needless.push({ what: 'a node was challenged', node: subject ?? '', at: time, text: text ?? '' })
  }
  const figures = { needless: needless.length, cases: first.size }
  if (needless.length > 0)
    return {
      judge,
      valid: false,
      text: `${needless.length} times the cluster acted without a reason`,
      offending: needless.slice(0, offendingMax),
      figures,
    }
  if (copies.length === 0) return { judge, valid: 'unknown', text: 'the service never ran', figures }
  return { judge, valid: true, text: `each of ${copies.length - 1} ends and ${first.size} cases had a reason`, figures }
}

/** By the cluster's own journal: between two grants of a group stands what ended the first one (P4). */
export const proofBeforeGrant: (group: string) => Judge =
  (group) =>
  ({ finals }) => {
    const judge = 'proof-before-grant'
    const longest = Object.values(finals).toSorted((a, b) => b.length - a.length)[0] ?? []
    let open: SeenEvent | undefined
    let grants = 0
    const bad: Json[] = []
    for (const event of longest) {
      if (event.subject !== group) continue
      if (event.kind === 'decision.grant') {
        grants++
        if (open !== undefined) bad.push({ first: open.revision, second: event.revision, text: event.text ?? '' })
        open = event
      } else if (event.kind === 'group.released' || event.kind === 'group.proved') {
        const token = (event.data as { readonly token?: number } | undefined)?.token
        // A token is the epoch and the index of its grant.
        if (open === undefined || token === undefined || token % 2 ** 40 === open.revision) open = undefined
      }
    }
    if (bad.length > 0)
      return {
        judge,
        valid: false,
        text: `${bad.length} grants without a proof about the one before`,
        offending: bad.slice(0, offendingMax),
        figures: { grants },
      }
    if (grants < 2) return { judge, valid: 'unknown', text: `the journal has ${grants} grants of the group`, figures: { grants } }
    return { judge, valid: true, text: `${grants} grants, each after the proof that the one before had ended`, figures: { grants } }
  }
