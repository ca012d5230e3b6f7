/** Figures of all parts, as a table. */
import { figures } from '../watch.js'

export interface Measured {
  readonly part: string
  readonly what: string
  readonly unit: 'ms' | 's' | 'MiB' | '% of a core'
  readonly values: readonly number[]
  /** What is to be reached; undefined where nothing is. */
  readonly wanted?: number
}

export function table(rows: readonly Measured[]): string {
  const lines = rows.map(({ part, what, unit, values, wanted }) => {
    const { count, min, median, max } = rounded(values)
    return `| ${[part, what, count, min, median, max, unit, wanted ?? ''].join(' | ')} |`
  })
  return [
    '| part | what | runs | min | median | max | unit | wanted |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...lines,
  ].join('\n')
}

function rounded(values: readonly number[]) {
  const { count, min, median, max } = figures(values)
  const short = (value: number): number => Math.round(value * 100) / 100
  return { count, min: short(min), median: short(median), max: short(max) }
}
