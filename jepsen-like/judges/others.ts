/** Events without gaps, requests carried out once, and a cluster that recovers and leaves nothing behind. */
import type { Json } from '../checkers/index.js'
import { completed, hasNoProcessor, isStarved, type Judge, offendingMax, type SeenEvent } from './record.js'

const place = ({ revision, number }: SeenEvent): number => revision * 1_000 + number

/** Each follower saw each event once and in order, from its first on; what was acknowledged left its event; all journals agree. */
export const events: Judge = (record) => {
  const judge = 'events'
  const bad: Json[] = []
  const finals = Object.entries(record.finals)
  const longest = finals.toSorted(([, a], [, b]) => b.length - a.length)[0]
  if (longest === undefined || longest[1].length === 0) return { judge, valid: 'unknown', text: 'no journal could be read' }
  const [reader, journal] = longest
  const known = new Map(journal.map((event) => [place(event), event.kind]))
  const kept = place(journal[0] as SeenEvent)
  const end = place(journal.at(-1) as SeenEvent)
  const disorder = (name: string, list: readonly SeenEvent[]): void => {
    for (const [at, event] of list.entries()) {
      const before = list[at - 1]
      if (before !== undefined && place(before) >= place(event))
        bad.push({
          stream: name,
          what: 'twice or out of order',
          before: `${before.revision}.${before.number}`,
          event: `${event.revision}.${event.number}`,
        })
    }
  }
  const compare = (name: string, list: readonly SeenEvent[]): void => {
    const [first] = list
    const last = list.at(-1)
    if (first === undefined || last === undefined) return
    const seen = new Set(list.map(place))
    const from = Math.max(place(first), kept)
    for (const at of known.keys())
      if (at >= from && at <= place(last) && !seen.has(at)) bad.push({ stream: name, what: 'missing', event: at / 1_000 })
    for (const at of seen)
      if (at >= kept && at <= end && !known.has(at)) bad.push({ stream: name, what: `not in the journal of ${reader}`, event: at / 1_000 })
  }
  let count = 0
  for (const [node, list] of [...Object.entries(record.streams), ...finals]) {
    disorder(node, list)
    compare(node, list)
    count += list.length
  }
  const revisions = new Set(journal.map(({ revision }) => revision))
  for (const { f, type, value } of completed(record.events, 'events')) {
    const revision = (value as { readonly revision?: number } | undefined)?.revision ?? 0
    if (f === 'mark' && type === 'ok' && revision * 1_000 >= kept && !revisions.has(revision))
      bad.push({ what: 'acknowledged, and left no event', revision })
  }
  const figures = { events: journal.length, seen: count }
  if (bad.length > 0)
    return {
      judge,
      valid: false,
      text: `${bad.length} events were missing, repeated or out of order`,
      offending: bad.slice(0, offendingMax),
      figures,
    }
  if (Object.values(record.streams).every((stream) => stream.length < 2))
    return { judge, valid: 'unknown', text: 'nobody followed', figures }
  return { judge, valid: true, text: `${journal.length} events, each seen once and in order by each follower`, figures }
}

/** Every answer to requests under one key is the same. */
export const once: Judge = ({ events: history }) => {
  const judge = 'once'
  const known = new Map<string, number>()
  const bad: Json[] = []
  let repeats = 0
  for (const { type, value, from } of completed(history, 'idempotent')) {
    const said = value as { readonly id?: string; readonly revisions?: readonly number[] } | undefined
    if (type !== 'ok' || said?.id === undefined || said.revisions === undefined) continue
    for (const revision of said.revisions) {
      const before = known.get(said.id)
      if (before === undefined) known.set(said.id, revision)
      else {
        repeats++
        if (before !== revision) bad.push({ id: said.id, first: before, again: revision, at: from })
      }
    }
  }
  const figures = { requests: known.size, repeats }
  if (bad.length > 0)
    return {
      judge,
      valid: false,
      text: `${bad.length} repeated requests were carried out again`,
      offending: bad.slice(0, offendingMax),
      figures,
    }
  if (repeats === 0) return { judge, valid: 'unknown', text: 'no request was repeated', figures }
  return { judge, valid: true, text: `${repeats} repetitions of ${known.size} requests got the first answer`, figures }
}

/** After the last fault all that can run runs, within the bound. */
export const convergence: (boundMs: number) => Judge = (boundMs) => (record) => {
  const judge = 'convergence'
  const { wellAfter, notWell = 'nobody knows why' } = record
  if (wellAfter === undefined) {
    // A node that gets no processor is challenged, and started anew, for as long as that lasts.
    const hadNone = hasNoProcessor(record, record.faultsEnded, record.ended)
    const how = hadNone ? ', on a machine without a free processor' : ''
    const text = `not well ${Math.round((record.ended - record.faultsEnded) / 1_000)} s after the last fault${how}: ${notWell}`
    return { judge, valid: hadNone ? 'unknown' : false, text }
  }
  const figures = { wellAfterMs: Math.round(wellAfter) }
  const isLate = wellAfter > boundMs
  if (isLate && hasNoProcessor(record, record.faultsEnded, record.faultsEnded + wellAfter))
    return {
      judge,
      valid: 'unknown',
      text: `well ${Math.round(wellAfter)} ms after the last fault, on a machine without a free processor`,
      figures,
    }
  if (isLate) return { judge, valid: false, text: `well only ${Math.round(wellAfter)} ms after the last fault: ${notWell}`, figures }
  return { judge, valid: true, text: `well ${Math.round(wellAfter)} ms after the last fault`, figures }
}

export const leaks: Judge = ({ leaks: left }) =>
  left.length === 0
    ? { judge: 'leaks', valid: true, text: 'nothing was left behind' }
    : { judge: 'leaks', valid: false, text: `${left.length} things were left behind`, offending: [...left].slice(0, offendingMax) }

/** The software never met a mistake of its own that it knows of. */
export const faultless: Judge = ({ finals }) => {
  const judge = 'faultless'
  const all = Object.values(finals).flat()
  const alarms = all.filter(({ kind }) => kind === 'alarm.fault')
  if (alarms.length > 0)
    return {
      judge,
      valid: false,
      text: 'a command met a mistake of the software',
      offending: alarms.slice(0, offendingMax).map((event) => ({ ...event }) as unknown as Json),
    }
  if (all.length === 0) return { judge, valid: 'unknown', text: 'no journal could be read' }
  return { judge, valid: true, text: 'no alarm about the software' }
}

/** While nothing is broken, requests are answered. */
export const calm: Judge = (record) => {
  const judge = 'calm'
  const quiet = completed(record.events).filter(
    ({ from, to, workload, f }) =>
      workload !== 'switchover' &&
      workload !== 'operators' &&
      f !== 'again' &&
      !record.bands.some((band) => band.from <= to && band.to + 20_000 >= from) &&
      !record.stalls.some((stall) => stall.at + 2_000 > from && stall.at - stall.ms - 2_000 < to) &&
      !isStarved(record, to),
  )
  const expected = new Set(['REVISION_MISMATCH', 'KEY_NOT_FOUND', 'JOURNAL_TRIMMED'])
  const failed = quiet.filter(
    ({ type, error, workload }) => workload !== 'owner' && workload !== 'address' && type !== 'ok' && !expected.has(error ?? ''),
  )
  const figures = { quiet: quiet.length, failed: failed.length }
  if (quiet.length < 50)
    return { judge, valid: 'unknown', text: `only ${quiet.length} operations in quiet times, with a processor free`, figures }
  if (failed.length > quiet.length / 200)
    return {
      judge,
      valid: false,
      text: `${failed.length} of ${quiet.length} operations failed while nothing was broken`,
      offending: failed
        .slice(0, offendingMax)
        .map(({ workload, f, error, from, node }) => ({ workload, f, error: error ?? '', at: from, node: node ?? '' })),
      figures,
    }
  return { judge, valid: true, text: `${failed.length} of ${quiet.length} operations in quiet times failed`, figures }
}
