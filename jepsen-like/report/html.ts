/**
 * One page for a run, with nothing outside of it: verdicts, a timeline of nodes, faults, leaders and owners, latency and rate with the
 * faults behind them, and the operations that contradict.
 */
import type { Json } from '../checkers/index.js'
import { completed, copiesOf, type Done, type RunRecord, type Verdict } from '../judges/index.js'

export interface Page {
  readonly title: string
  /** What was asked for, and how to have the same schedule again. */
  readonly command: string
  readonly facts: Readonly<Record<string, string>>
  readonly nodes: readonly string[]
  readonly record: RunRecord
  readonly verdicts: readonly Verdict[]
}

const width = 1_200
const left = 110
const colours = ['#4477aa', '#ee6677', '#228833', '#ccbb44', '#66ccee', '#aa3377', '#bbbbbb']

export function pageOf(page: Page): string {
  const { title, command, facts, record, verdicts } = page
  const overall = verdictOf(verdicts)
  const end = Math.max(record.ended, 1)
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${text(title)}</title>
<style>
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1260px;padding:0 16px;color:#1b1f24;background:#fff}
h1{font-size:20px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px}
code,pre{font:12px/1.4 ui-monospace,monospace}pre{background:#f4f5f7;padding:8px;overflow:auto;border-radius:4px;max-height:320px}
table{border-collapse:collapse;width:100%}td,th{padding:4px 10px;border-bottom:1px solid #e4e7eb;text-align:left;vertical-align:top}
.badge{display:inline-block;padding:1px 8px;border-radius:9px;color:#fff;font-weight:600}
.valid{background:#228833}.invalid{background:#cc3311}.unknown{background:#8a8f98}
svg{display:block;width:100%;height:auto;background:#fff}svg text{font:11px system-ui,sans-serif;fill:#333}
.small{color:#59616b;font-size:12px}
@media (prefers-color-scheme: dark){body{background:#15181c;color:#dde1e6}pre{background:#20242a}td,th{border-color:#2c323a}svg{background:#15181c}svg text{fill:#c5cbd3}.small{color:#9aa3ad}}
</style></head><body>
<h1>${text(title)} <span class="badge ${overall}">${overall}</span></h1>
<p class="small"><code>${text(command)}</code><br>${Object.entries(facts)
    .map(([name, value]) => `${text(name)}: ${text(value)}`)
    .join(' · ')}</p>
<h2>Verdicts</h2>${verdictTable(verdicts)}
<h2>Timeline</h2>${timeline(page, end)}
<h2>Rate and latency</h2>${rates(record, end)}${latencies(record, end)}
<h2>Outcomes</h2>${outcomes(record)}
<h2>Faults</h2>${faultTable(record)}
${offendingOf(verdicts)}
</body></html>
`
}

export function verdictOf(verdicts: readonly Verdict[]): 'valid' | 'invalid' | 'unknown' {
  if (verdicts.some(({ valid }) => valid === false)) return 'invalid'
  return verdicts.some(({ valid }) => valid === true) ? 'valid' : 'unknown'
}

const badge = (valid: Verdict['valid']): string => {
  const word = valid === true ? 'valid' : valid === false ? 'invalid' : 'unknown'
  return `<span class="badge ${word}">${word}</span>`
}

function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map(
    ({ judge, workload = '', valid, text: said, figures = {} }) =>
      `<tr><td>${badge(valid)}</td><td>${text(judge)}</td><td>${text(workload)}</td><td>${text(said)}</td><td class="small">${text(
        Object.entries(figures)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      )}</td></tr>`,
  )
  return `<table><tr><th></th><th>judge</th><th>workload</th><th>what it found</th><th>figures</th></tr>${rows.join('')}</table>`
}

/** Rows for faults, then for each node: what the leader said of it, whether it led, and copies of the service. */
function timeline({ nodes, record }: Page, end: number): string {
  const at = scale(end)
  const faultRow = 18
  const lanes = Math.max(1, ...record.bands.map(({ lane }) => lane + 1))
  const top = lanes * faultRow + 12
  const rowHeight = 34
  const height = top + nodes.length * rowHeight + 40
  const parts: string[] = [bands(record, end, 0, height - 24)]
  for (const { fault, lane, from, to, detail } of record.bands) {
    const x = at(from)
    const x2 = at(Math.min(to, end))
    parts.push(
      `<g><title>${text(`${fault} ${seconds(from)}–${seconds(Math.min(to, end))} ${JSON.stringify(detail)}`)}</title><rect x="${x}" y="${lane * faultRow + 2}" width="${Math.max(1, x2 - x)}" height="14" fill="#e8b4b8"/>` +
        `<text x="${x + 2}" y="${lane * faultRow + 13}" ${x2 - x < fault.length * 5 ? 'font-size="8"' : ''}>${text(x2 - x < 24 ? '' : fault)}</text></g>`,
    )
  }
  const states = statesOf(record, end)
  const copies = copiesOf(record.notes)
  for (const [row, node] of nodes.entries()) {
    const y = top + row * rowHeight
    parts.push(
      `<text x="4" y="${y + 14}" font-weight="600">${text(node)}</text><text x="40" y="${y + 9}">state</text><text x="40" y="${y + 23}">service</text>`,
    )
    for (const { from, to, leader, state } of states.map(({ from, to, leader, states: all }) => ({
      from,
      to,
      leader,
      state: all[node] ?? '?',
    }))) {
      const fill = state === 'ONLINE' ? '#cfe8d5' : state === '?' ? '#eceff1' : '#f3c9a5'
      parts.push(
        `<g><title>${text(`${node} ${state}${leader === node ? ', leads' : ''} ${seconds(from)}–${seconds(to)}`)}</title><rect x="${at(from)}" y="${y}" width="${Math.max(0.5, at(to) - at(from))}" height="11" fill="${fill}"/>`,
      )
      if (leader === node)
        parts.push(`<rect x="${at(from)}" y="${y + 8}" width="${Math.max(0.5, at(to) - at(from))}" height="3" fill="#aa3377"/>`)
      parts.push('</g>')
    }
    for (const copy of copies.filter((one) => one.node === node)) {
      const colour = colours[copies.indexOf(copy) % colours.length]
      parts.push(
        `<g><title>${text(`copy on ${node}, pid ${copy.pid}, token ${copy.token % 2 ** 40}: ${seconds(copy.from)}–${seconds(copy.to)}${copy.stopped ? ', stopped' : ', ended'}`)}</title><rect x="${at(copy.from)}" y="${y + 14}" width="${Math.max(1, at(copy.to) - at(copy.from))}" height="11" fill="${colour}"/></g>`,
      )
    }
  }
  parts.push(axis(end, height - 18))
  const legend =
    'green: ONLINE for the leader; orange: anything else; purple line: leads; coloured bars: copies of the service by its own journal; red: faults'
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="timeline">${parts.join('')}</svg><p class="small">${legend}</p>`
}

interface State {
  readonly from: number
  readonly to: number
  readonly leader: string | null
  readonly states: Readonly<Record<string, string>>
}

function statesOf(record: RunRecord, end: number): readonly State[] {
  const seen = record.events.filter(({ process }) => process === 'watch')
  return seen.map((event, at) => {
    const { leader, states } = event.value as unknown as Pick<State, 'leader' | 'states'>
    return { from: event.time, to: seen[at + 1]?.time ?? end, leader, states }
  })
}

/** Operations a second that ended ok, fail and info. */
function rates(record: RunRecord, end: number): string {
  const height = 170
  const step = Math.max(500, Math.ceil(end / 300 / 500) * 500)
  const kinds = ['ok', 'fail', 'info'] as const
  const fills = { ok: '#228833', fail: '#ee6677', info: '#ccbb44' }
  const counts = new Map(kinds.map((kind) => [kind, new Array<number>(Math.ceil(end / step) + 1).fill(0)]))
  for (const { to, type } of completed(record.events)) {
    const list = counts.get(type) as number[]
    const bucket = Math.min(list.length - 1, Math.floor(to / step))
    list[bucket] = (list[bucket] ?? 0) + 1_000 / step
  }
  const most = Math.max(1, ...kinds.flatMap((kind) => counts.get(kind) as number[]))
  const at = scale(end)
  const y = (value: number): number => round(height - 24 - (value / most) * (height - 40))
  const lines = kinds.map((kind) => {
    const points = (counts.get(kind) as number[]).map((value, bucket) => `${at(Math.min(end, (bucket + 0.5) * step))},${y(value)}`)
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${fills[kind]}" stroke-width="1.5"/>`
  })
  const names = kinds.map((kind, row) => `<text x="4" y="${20 + row * 15}" style="fill:${fills[kind]}">${kind}/s</text>`)
  const labels = `<text x="${left - 6}" y="${y(most) + 4}" text-anchor="end">${round(most)}</text><text x="${left - 6}" y="${y(0)}" text-anchor="end">0</text>`
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="rate">${bands(record, end, 0, height - 24)}${lines.join('')}${names.join('')}${labels}${axis(end, height - 18)}</svg>`
}

/** One dot an operation, on a logarithmic scale; thinned out where there are many. */
function latencies(record: RunRecord, end: number): string {
  const height = 220
  const all = completed(record.events)
  const every = Math.max(1, Math.ceil(all.length / 6_000))
  const at = scale(end)
  const top = 10_000
  const y = (ms: number): number => round(height - 24 - (Math.log10(Math.max(1, Math.min(top, ms))) / Math.log10(top)) * (height - 40))
  const fills = { ok: '#4477aa', fail: '#ee6677', info: '#ccbb44' }
  const dots = all
    .filter((one, place) => one.type === 'info' || place % every === 0)
    .map((one: Done) => `<circle cx="${at(Math.min(end, one.to))}" cy="${y(one.to - one.from)}" r="1.2" fill="${fills[one.type]}"/>`)
  const grid = [1, 10, 100, 1_000, 10_000].map(
    (ms) =>
      `<line x1="${left}" x2="${width}" y1="${y(ms)}" y2="${y(ms)}" stroke="#8884" stroke-width="0.5"/><text x="${left - 6}" y="${y(ms) + 4}" text-anchor="end">${ms} ms</text>`,
  )
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="latency">${bands(record, end, 0, height - 24)}${grid.join('')}${dots.join('')}${axis(end, height - 18)}</svg><p class="small">latency; blue ok, red fail, yellow unknown${every > 1 ? `; one of ${every} shown` : ''}</p>`
}

function outcomes(record: RunRecord): string {
  const counts = new Map<string, Map<string, number>>()
  for (const { workload, f, type, error } of completed(record.events)) {
    const row = counts.get(`${workload} ${f}`) ?? new Map<string, number>()
    counts.set(`${workload} ${f}`, row)
    const name = type === 'ok' ? 'ok' : `${type} ${error ?? ''}`
    row.set(name, (row.get(name) ?? 0) + 1)
  }
  const rows = [...counts].map(
    ([name, row]) =>
      `<tr><td>${text(name)}</td><td>${[...row]
        .toSorted(([, a], [, b]) => b - a)
        .map(([what, count]) => `${text(what)} ${count}`)
        .join(', ')}</td></tr>`,
  )
  return `<table><tr><th>operation</th><th>outcomes</th></tr>${rows.join('')}</table>`
}

function faultTable(record: RunRecord): string {
  if (record.bands.length === 0) return '<p>none</p>'
  const rows = record.bands.map(
    ({ fault, from, to, detail }) =>
      `<tr><td>${seconds(from)}</td><td>${to === Number.POSITIVE_INFINITY ? 'not healed' : seconds(to)}</td><td>${text(fault)}</td><td><code>${text(JSON.stringify(detail))}</code></td></tr>`,
  )
  return `<table><tr><th>from</th><th>to</th><th>fault</th><th>detail</th></tr>${rows.join('')}</table>`
}

function offendingOf(verdicts: readonly Verdict[]): string {
  const bad = verdicts.filter(({ valid, offending }) => valid === false && (offending?.length ?? 0) > 0)
  if (bad.length === 0) return ''
  const show = (value: Json): string => text(JSON.stringify(value, undefined, 1).slice(0, 8_000))
  return `<h2>What contradicts</h2>${bad.map(({ judge, workload = '', offending = [] }) => `<h3>${text(`${judge} ${workload}`)}</h3><pre>${offending.map(show).join('\n')}</pre>`).join('')}`
}

function bands(record: RunRecord, end: number, y: number, height: number): string {
  const at = scale(end)
  return record.bands
    .map(
      ({ from, to }) =>
        `<rect x="${at(from)}" y="${y}" width="${Math.max(0.5, at(Math.min(to, end)) - at(from))}" height="${height}" fill="#cc331118"/>`,
    )
    .join('')
}

function axis(end: number, y: number): string {
  const at = scale(end)
  const steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 3_600]
  const step = (steps.find((candidate) => end / 1_000 / candidate <= 16) ?? 3_600) * 1_000
  const ticks = Array.from({ length: Math.floor(end / step) + 1 }, (_, tick) => tick * step)
  return ticks
    .map(
      (time) =>
        `<line x1="${at(time)}" x2="${at(time)}" y1="${y - 6}" y2="${y}" stroke="#888"/><text x="${at(time)}" y="${y + 12}" text-anchor="middle">${time / 1_000} s</text>`,
    )
    .join('')
}

function scale(end: number): (time: number) => number {
  return (time) => round(left + (time / end) * (width - left - 10))
}

const round = (value: number): number => Math.round(value * 10) / 10
const seconds = (ms: number): string => `${(ms / 1_000).toFixed(2)} s`

function text(raw: string): string {
  return raw.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

export interface IndexRow {
  readonly name: string
  readonly began: string
  readonly what: string
  readonly verdict: 'valid' | 'invalid' | 'unknown'
  readonly operations: number
  readonly faults: number
  readonly takeovers: number
  readonly doubles: number
  readonly minutes: number
}

/** All runs of a folder, the newest first. */
export function indexOf(rows: readonly IndexRow[]): string {
  const sum = (of: (row: IndexRow) => number): number => rows.reduce((total, row) => total + of(row), 0)
  const body = rows
    .toSorted((a, b) => (a.began < b.began ? 1 : -1))
    .map(
      (row) =>
        `<tr><td><a href="${text(row.name)}/report.html">${text(row.name)}</a></td><td>${text(row.began)}</td><td><span class="badge ${row.verdict}">${row.verdict}</span></td><td>${text(row.what)}</td><td>${row.minutes}</td><td>${row.operations}</td><td>${row.faults}</td><td>${row.takeovers}</td><td>${row.doubles}</td></tr>`,
    )
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Chaos runs</title><style>body{font:14px system-ui,sans-serif;margin:24px}td,th{padding:4px 10px;border-bottom:1px solid #e4e7eb;text-align:left}.badge{padding:1px 8px;border-radius:9px;color:#fff}.valid{background:#228833}.invalid{background:#cc3311}.unknown{background:#8a8f98}</style></head><body>
<h1>Chaos runs</h1><p>${rows.length} runs, ${Math.round(sum(({ minutes }) => minutes))} minutes, ${sum(({ operations }) => operations)} operations, ${sum(({ faults }) => faults)} faults, ${sum(({ takeovers }) => takeovers)} takeovers, ${sum(({ doubles }) => doubles)} double starts.</p>
<table><tr><th>run</th><th>began</th><th></th><th>what</th><th>minutes</th><th>operations</th><th>faults</th><th>takeovers</th><th>doubles</th></tr>${body.join('')}</table></body></html>
`
}
