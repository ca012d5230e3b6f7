/** What the bench's client saw: the times of its successes, and the gap around an event. */
import { type ChildProcess, spawn } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pause } from '../lib/http.js'

export interface Success {
  readonly at: number
  readonly text: string
}

export class Watch {
  private readonly child: ChildProcess
  readonly successes: Success[] = []

  constructor(url: string, prefix: readonly string[] = []) {
    const script = join(dirname(fileURLToPath(import.meta.url)), 'poller.js')
    const [program, ...rest] = [...prefix, process.execPath, script, url]
    this.child = spawn(program as string, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    this.child.stdout?.setEncoding('utf8')
    this.child.stdout?.on('data', (chunk: string) => {
      text += chunk
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines)
        this.successes.push({ at: Number(line.slice(0, line.indexOf(' '))), text: line.slice(line.indexOf(' ') + 1) })
      if (this.successes.length > 100_000) this.successes.splice(0, 50_000)
    })
  }

  get last(): Success | undefined {
    return this.successes.at(-1)
  }

  /** Waits for a success that fits, after `since`. Throws when none comes in time. */
  async until(since: number, fits: (success: Success) => boolean, timeoutMs: number): Promise<Success> {
    const end = Date.now() + timeoutMs
    for (;;) {
      const found = this.successes.find((success) => success.at > since && fits(success))
      if (found !== undefined) return found
      if (Date.now() > end) throw new Error(`no answer of the service within ${timeoutMs / 1000} s (last: ${this.last?.text ?? 'none'})`)
      await pause(10)
    }
  }

  /** The longest time without a success between `from` and `to`, in milliseconds. */
  longestGap(from: number, to: number): number {
    const times = this.successes.map((success) => success.at).filter((at) => at >= from - 500 && at <= to)
    times.sort((a, b) => a - b)
    let longest = 0
    for (let at = 1; at < times.length; at++) longest = Math.max(longest, (times[at] as number) - (times[at - 1] as number))
    return longest
  }

  close(): void {
    this.child.kill('SIGKILL')
  }
}

export interface Figures {
  readonly count: number
  readonly min: number
  readonly median: number
  readonly p95: number
  readonly max: number
}

export function figures(values: readonly number[]): Figures {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number => Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN)
  return { count: sorted.length, min: at(0), median: at(0.5), p95: at(0.95), max: Math.round(sorted.at(-1) ?? Number.NaN) }
}
