/** What processes have used, by /proc. */
import { readFileSync } from 'node:fs'

/** Linux counts processor time for /proc in hundredths of a second on every architecture. */
const clockTick = 10

/** User and system time of all threads since the start, summed over the processes, in milliseconds. */
export function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuOfOne(pid), 0)
}

function cpuOfOne(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return (Number(fields[11]) + Number(fields[12])) * clockTick
  } catch {
    return 0 // It has ended.
  }
}

/** Resident and proportional memory, summed over the processes, in MiB. */
export function memoryOf(pids: readonly number[]): { readonly rss: number; readonly pss: number } {
  let [rss, pss] = [0, 0]
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
      rss += Number(/^Rss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1_024
      pss += Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1_024
    } catch {
      // It has ended.
    }
  }
  return { rss: Math.round(rss), pss: Math.round(pss) }
}
