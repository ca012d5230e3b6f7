/** What a storm came to, for people. */
import type { StormResult } from './storm.js'

export function print({ seed, actions, blows, verdict, hangs, recovery, resets, before, after, seconds, problems }: StormResult): void {
  const { starts, leastMargin, leasesLost, longestBlindness } = verdict
  const lines = [
    `seed ${seed}: ${actions} actions in ${seconds} s`,
    `blows: ${Object.entries(blows)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ')}`,
    `hangs: ${Object.entries(hangs)
      .map(([whom, { ended, left }]) => `${whom} ${ended} ended by somebody, ${left} not`)
      .join('; ')}`,
    `well again after ${recovery.median} ms (median), ${recovery.p95} (p95), ${recovery.max} (longest)`,
    `starts of services: ${starts.first} first, ${starts.hit} because they were hit, ${starts.agents} because their agents were, ${starts.lease} after a lease that ran out, ${starts.power} after a reset; ${verdict.needless.length} without need`,
    `leases that ran out: ${leasesLost}, resets of the node: ${resets}; the last service was gone ${leastMargin ?? '-'} ms before it had to be; out of control: ${verdict.outOfControl.length}, undecided because the stand stood still: ${verdict.undecided.length}`,
    `longest time between two looks: ${longestBlindness} ms`,
    '',
    '| what | at the start | at the end |',
    '| --- | --- | --- |',
    ...Object.entries(after).map(([what, count]) => `| ${what} | ${before[what]} | ${count} |`),
    '',
    problems.length === 0 ? 'everything held' : `${problems.length} problems:\n${problems.map((problem) => `  ${problem}`).join('\n')}`,
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}

export function notice({ told }: StormResult): string {
  return `what was said then:\n${typeof told === 'string' ? told : JSON.stringify(told, null, 1)}\n`
}
