/** Spans and readings of time. Nothing here reads a clock. */
import { ClusterError } from './errors.js'

declare const brand: unique symbol
type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }

/** A span of time, never a date. */
export type Milliseconds = Brand<number, 'Milliseconds'>
/** A monotonic clock reading in milliseconds. Only the difference of two readings on one node has a meaning. */
export type Instant = Brand<number, 'Instant'>
/** A reading of the clock that counts suspend (CLOCK_BOOTTIME), in milliseconds; every process of one kernel reads the same clock. */
export type BootInstant = Brand<number, 'BootInstant'>
/** Milliseconds of log time: never goes back, stands still without a leader, the same at every member for one log index. */
export type LogTime = Brand<number, 'LogTime'>
/** Milliseconds since 1970 as the leader's wall clock had them; only shown, and used for windows set by people. */
export type WallTime = Brand<number, 'WallTime'>

export const milliseconds = (value: number): Milliseconds => value as Milliseconds
export const instant = (value: number): Instant => value as Instant
export const bootInstant = (value: number): BootInstant => value as BootInstant
export const logTime = (value: number): LogTime => value as LogTime
export const wallTime = (value: number): WallTime => value as WallTime

/** Grain of the boot clock as /proc/uptime shows it. A holder adds it to its reading, a judge takes it off what elapsed. */
export const bootClockGrain = milliseconds(10)

const unitMilliseconds: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/**
 * A duration as people write it: `250ms`, `5s`, `1.5m`, `2h`, `1d`, or a bare number of milliseconds.
 * Errors: INVALID.
 */
export function parseDuration(value: string | number): Milliseconds {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(String(value).trim())
  const amount = Number(match?.[1])
  if (match === null || !Number.isFinite(amount)) {
    throw new ClusterError('INVALID', `"${value}" is not a duration`, { fix: 'write a number with ms, s, m, h or d, for example 5s' })
  }
  return milliseconds(Math.round(amount * (unitMilliseconds[match[2] ?? 'ms'] ?? 1)))
}

/** The shortest exact way to write a span: 5000 is `5s`. */
export function formatDuration(span: number): string {
  for (const [unit, size] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const) {
    if (span >= size && span % size === 0) return `${span / size}${unit}`
  }
  return span >= 1_000 ? `${span / 1_000}s` : `${span}ms`
}
