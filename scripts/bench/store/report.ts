/** The table, and how the systems compare in it. */

import type { Row } from './cells.js'
import { median } from './median.js'
import type { Cell } from './run-client.js'

export function table(rows: readonly Row[]): string {
  const head = [
    'cell',
    'clients',
    'bytes',
    'system',
    'ops/s',
    'p50 ms',
    'p99 ms',
    'p99.9 ms',
    'CPU µs/op',
    'client µs/op',
    'errors',
    'ops/s ratio',
    'p99 ratio',
  ]
  const lines = [head, head.map(() => '---'), ...rows.map((row) => line(row, rows))]
  const loads = rows.flatMap((row) => row.load)
  return `\n${lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n\nMedians; ratios are Quorate's figure by that of the system, run by run, and their median. Load of the machine before the runs: median ${median(loads).toFixed(1)}, at most ${Math.max(...loads).toFixed(1)}.\n`
}

function line(row: Row, rows: readonly Row[]): readonly string[] {
  const own = rows.find(
    (one) => one.cell === row.cell && one.clients === row.clients && one.valueBytes === row.valueBytes && one.system === 'quorate',
  )
  const of = (figure: (cell: Cell) => number): number => median(row.runs.map(figure))
  const ratio = (figure: (cell: Cell) => number): string =>
    own === undefined || own === row ? '' : median(row.runs.map((run, at) => figure(own.runs[at] as Cell) / figure(run))).toFixed(2)
  return [
    row.cell,
    String(row.clients),
    String(row.valueBytes),
    row.system,
    String(Math.round(of((cell) => cell.perSecond))),
    of((cell) => cell.p50).toFixed(2),
    of((cell) => cell.p99).toFixed(2),
    of((cell) => cell.p999).toFixed(2),
    String(Math.round(of((cell) => cell.cpuPerOperation))),
    String(Math.round(of((cell) => cell.clientCpuPerOperation))),
    String(row.runs.reduce((sum, cell) => sum + cell.errors, 0)),
    ratio((cell) => cell.perSecond),
    ratio((cell) => cell.p99),
  ]
}
