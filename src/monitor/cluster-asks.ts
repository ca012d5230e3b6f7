/** Asks the daemon of this node what only the cluster knows, and waits for its answer. */
import type { ClusterAnswer, ClusterQuestion, MonitorOrder } from '../core/monitor/index.js'

/** An agent's own time goes on meanwhile. */
const answerMax = 10_000

export type Answered = { readonly answer: ClusterAnswer | null; readonly problem?: string }

export class ClusterAsks {
  private readonly waiting = new Map<string, (answered: Answered) => void>()
  private readonly send: (askId: string, question: ClusterQuestion) => boolean
  private asked = 0

  /** `send` is false when no daemon is connected. */
  constructor(send: (askId: string, question: ClusterQuestion) => boolean) {
    this.send = send
  }

  ask(question: ClusterQuestion): Promise<Answered> {
    return new Promise((resolve) => {
      const askId = `agent-${process.pid}-${++this.asked}`
      const finish = (answered: Answered) => {
        clearTimeout(timer)
        this.waiting.delete(askId)
        resolve(answered)
      }
      const timer = setTimeout(() => finish({ answer: null, problem: 'the cluster did not answer in time' }), answerMax)
      this.waiting.set(askId, finish)
      if (!this.send(askId, question)) finish({ answer: null, problem: 'the daemon of this node is not there' })
    })
  }

  answered({ askId, answer, problem }: Extract<MonitorOrder, { kind: 'answered' }>): void {
    this.waiting.get(askId)?.({ answer, ...(problem === undefined ? {} : { problem }) })
  }

  /** Whoever was asked is gone. */
  disconnected(): void {
    for (const tell of [...this.waiting.values()]) tell({ answer: null, problem: 'the daemon of this node is gone' })
  }
}
