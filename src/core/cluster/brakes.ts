/**
 * The brakes: how much may happen on its own within a window before a person is asked.
 *
 * They hold back what would be begun, a power-off or a failover. A proof in hand is always used: what has ended is no second
 * copy, and to leave it down would help nobody.
 */
import { formatDuration, type LogTime } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, padded } from './context.js'
import { brakesLevel, levelInForce } from './features.js'
import type { CaseRow, CauseRow, GroupRow } from './rows.js'
import { metaOf, type Reader, settingsOf } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

const causesKept = 2_000
/** The longest window that can be set. Milliseconds of log time. */
const keptFor = 86_400_000

export interface Brakes {
  /** Power-offs that happened on their own, or are under way, and causes, as they count now. */
  readonly fencings: number
  readonly causes: readonly CauseRow[]
  /** Why nothing further begins on its own; empty where it does. */
  readonly holds: readonly string[]
}

/** As they are at this log time. */
export function brakesOf(reader: Reader, at: LogTime): Brakes {
  const { fencingMax, fencingWindow, causesMax, causesWindow } = settingsOf(reader)
  const fencings = fencingsLately(reader, at)
  const causes = causesLately(reader, at)
  return {
    fencings,
    causes,
    holds: [
      ...(fencings >= fencingMax ? [`${fencingMax} fencings within ${formatDuration(fencingWindow)} are enough (fencingMax)`] : []),
      ...(distinct(causes) >= causesMax ? [tooManyCauses(causesMax, causesWindow)] : []),
    ],
  }
}

function tooManyCauses(causesMax: number, causesWindow: number): string {
  return `${causesMax} causes of automatic moves within ${formatDuration(causesWindow)} are enough (causesMax)`
}

/** Why this group does not leave its node for a failure now; undefined where it may. One that has left lately is no further cause. */
export function whyHeld(reader: Reader, group: GroupRow, at: LogTime): string | undefined {
  const { causesMax, causesWindow } = settingsOf(reader)
  const causes = causesLately(reader, at)
  const isKnown = causes.some(({ kind, subject }) => kind === 'group-failed' && subject === causeOf(group))
  return !isKnown && distinct(causes) >= causesMax ? tooManyCauses(causesMax, causesWindow) : undefined
}

/** Why a node is not switched off now; undefined where it may be. What a person asks for is not held. */
export function whyCaseHeld(reader: Reader, row: CaseRow, at: LogTime): string | undefined {
  if (isAskedFor(row) || isWanted(reader, row)) return undefined
  const { fencingMax, fencingWindow, causesMax, causesWindow } = settingsOf(reader)
  if (fencingsLately(reader, at) >= fencingMax)
    return `${fencingMax} fencings within ${formatDuration(fencingWindow)} are enough (fencingMax)`
  // Its own loss is a cause too, and may be the last one that is allowed.
  const causes = causesLately(reader, at)
  const own = causes.findIndex(({ caseId }) => caseId === row.id)
  const before = own < 0 ? causes : causes.slice(0, own)
  const isByRule = row.trigger.startsWith(ruleTrigger)
  return !isByRule && distinct(before) >= causesMax ? tooManyCauses(causesMax, causesWindow) : undefined
}

const ruleTrigger = 'asked by the failure rules of '

/** By a person: the rules of a group ask as well, and nobody is behind them. */
export function isAskedFor({ trigger }: Pick<CaseRow, 'trigger'>): boolean {
  return trigger.startsWith('asked by ') && !trigger.startsWith(ruleTrigger)
}

/** The case was opened before a person asked for the same. */
function isWanted(reader: Reader, row: CaseRow): boolean {
  for (const [, one] of reader.rows('operations'))
    if (one.kind === 'fence' && one.status === 'running' && one.subject === row.node && isAskedFor({ trigger: `asked by ${one.detail}` }))
      return true
  return false
}

/** Power-offs that were confirmed, or that are under way; the latter were not counted by earlier versions. */
function fencingsLately(reader: Reader, at: LogTime): number {
  const counted = levelInForce(reader) < brakesLevel ? ['confirmed'] : ['confirmed', 'open']
  const from = countedFrom(reader, at, settingsOf(reader).fencingWindow)
  let recent = 0
  for (const [, row] of reader.rows('cases'))
    for (const { action, state, at: when } of row.attempts) if (action === 'off' && counted.includes(state) && when > from) recent++
  return recent
}

/** Oldest first. */
function causesLately(reader: Reader, at: LogTime): readonly CauseRow[] {
  const from = countedFrom(reader, at, settingsOf(reader).causesWindow)
  const all = reader.derived('causes', 'all', () => [...reader.rows('causes')].map(([, row]) => row))
  return all.filter((row) => row.at > from)
}

/** What a failure is counted for: all parts of a group that runs on several nodes are one. */
export function causeOf({ name, part }: GroupRow): string {
  return part?.of ?? name
}

/** A group that fails again and again is one cause: what bounds its moves are its own limits. */
function distinct(causes: readonly CauseRow[]): number {
  return new Set(causes.map(({ kind, subject }, at) => (kind === 'group-failed' ? subject : `${at} ${subject}`))).size
}

function countedFrom(reader: Reader, at: LogTime, window: number): number {
  return Math.max(at - window, metaOf(reader).brakesReleased?.at ?? Number.NEGATIVE_INFINITY)
}

/** To be called once what it causes is decided. */
export function noteCause(context: Context, cause: Omit<CauseRow, 'at'>): void {
  if (levelInForce(context.draft) < brakesLevel) return
  const rows = [...context.draft.rows('causes')]
  const surplus = rows.length - causesKept + 1
  for (const [at, [key, row]] of rows.entries()) if (at < surplus || row.at <= context.at - keptFor) context.draft.delete('causes', key)
  const before = distinct(causesLately(context.draft, context.at))
  const inEntry = rows.filter(([key]) => key.startsWith(padded(context.index))).length
  context.draft.put('causes', `${padded(context.index)}.${String(inEntry).padStart(5, '0')}`, { ...cause, at: context.at })
  const { causesMax, causesWindow } = context.settings
  if (before < causesMax && distinct(causesLately(context.draft, context.at)) >= causesMax)
    context.event('brakes.hold', 'cluster', `no further move begins on its own: ${tooManyCauses(causesMax, causesWindow)}`)
}

export function releaseBrakes(context: Context, command: CommandOf<'release-brakes'>): Record<string, unknown> {
  const { fencings, causes, holds } = brakesOf(context.draft, context.at)
  context.putMeta({ ...context.meta, brakesReleased: { at: context.at, by: command.by, reason: command.reason } })
  context.event('brakes.released', 'cluster', `${command.by} let the brakes go: ${command.reason}`, {
    fencings,
    causes: causes.map(({ text }) => text).slice(-50),
    held: holds.length > 0,
  })
  return { held: holds.length > 0, fencings, causes: causes.length }
}
