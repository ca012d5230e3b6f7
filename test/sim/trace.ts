/** What happened, one line an event: the last ones for whoever reads a failure, all of them in a checksum. */
import { crc32c } from '../../src/base/index.js'

const kept = 250
const encoder = new TextEncoder()

export class Trace {
  readonly last: string[] = []
  lines = 0
  private sum = 0
  private readonly live: boolean
  private readonly clock: { readonly now: number }

  constructor(clock: { readonly now: number }, live = false) {
    this.clock = clock
    this.live = live
  }

  add(where: string, text: string): void {
    const line = `${(this.clock.now / 1_000).toFixed(4).padStart(9)} ${where.padEnd(4)} ${text}`
    this.lines++
    this.sum = crc32c(encoder.encode(line), this.sum)
    this.last.push(line)
    if (this.last.length > kept) this.last.shift()
    if (this.live) console.log(line)
  }

  /** The same for the same run. */
  get checksum(): string {
    return `${this.lines}-${this.sum.toString(16)}`
  }
}
