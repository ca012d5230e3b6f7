/** Figures of all parts, as a table. */
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

/** Seconds and shares of a core need their decimals. */
function rounded(values: readonly number[]) {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (index: number): number => Math.round((sorted[index] ?? Number.NaN) * 100) / 100
  return { count: sorted.length, min: at(0), median: at(Math.floor((sorted.length - 1) / 2)), max: at(sorted.length - 1) }
}

/** The same rows measured so often: each has all values. */
export async function repeated(times: number, measure: () => Promise<readonly Measured[]>): Promise<readonly Measured[]> {
  let rows = await measure()
  for (let time = 1; time < times; time++) {
    const next = await measure()
    rows = rows.map((row, at) => ({ ...row, values: [...row.values, ...(next[at]?.values ?? [])] }))
  }
  return rows
}
