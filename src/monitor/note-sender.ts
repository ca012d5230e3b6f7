/** Has what agents noted down of this node written to the log: all that has changed at once, and again until it is there. */
import type { ClusterQuestion } from '../core/monitor/index.js'
import type { Attributes } from './attributes.js'
import type { Answered } from './cluster-asks.js'

/** What is noted down within this time goes together. */
const gatherMs = 50
/** Without a quorum there is nobody to write it. */
const retryMs = 2_000

export class NoteSender {
  private readonly attributes: Attributes
  private readonly ask: (question: ClusterQuestion) => Promise<Answered>
  private timer: NodeJS.Timeout | undefined
  private isAsking = false
  private isClosed = false

  constructor(attributes: Attributes, ask: (question: ClusterQuestion) => Promise<Answered>) {
    this.attributes = attributes
    this.ask = ask
  }

  /** To be called when something was noted down, and when a daemon has come. */
  wake(): void {
    this.after(gatherMs)
  }

  close(): void {
    this.isClosed = true
    clearTimeout(this.timer)
  }

  private after(delay: number): void {
    clearTimeout(this.timer)
    if (!this.isClosed && !this.isAsking) this.timer = setTimeout(() => void this.send(), delay)
  }

  private async send(): Promise<void> {
    const notes = this.attributes.unsent()
    if (notes.length === 0) return
    this.isAsking = true
    const { answer } = await this.ask({ kind: 'note', values: Object.fromEntries(notes.map(({ name, value }) => [name, value ?? null])) })
    this.isAsking = false
    if (answer?.kind === 'noted') this.attributes.sent(notes, answer.place)
    this.after(answer?.kind === 'noted' ? gatherMs : retryMs)
  }
}
