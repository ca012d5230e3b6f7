/** Somebody who uses the service all the time. */
import { Agent } from 'node:http'
import { pause, request } from '../../scripts/lib/http.js'

export interface Habits {
  /** From an answer to the next request, in milliseconds; 10 unless given. */
  readonly pauseMs?: number
  /** So long it waits for an answer, in milliseconds; 2 000 unless given. */
  readonly patienceMs?: number
  /** Uses one connection for as long as it holds; a new one for each request unless given. */
  readonly keepsConnection?: boolean
  /** Every request is for another path below this one, and the service is to answer with that path; all are for `/` unless given. */
  readonly below?: string
}

/** So many are kept. */
const failuresMax = 100

/** Asks again and again, one request after the other. */
export class ServiceClient {
  readonly failures: string[] = []
  succeeded = 0
  slowest = 0
  private readonly url: string
  private readonly habits: Habits
  private readonly agent: CountingAgent
  private readonly running: Promise<void>
  private closed = false

  constructor(url: string, habits: Habits = {}) {
    this.url = url
    this.habits = habits
    this.agent = new CountingAgent({ keepAlive: habits.keepsConnection === true })
    this.running = this.run()
  }

  /** That were begun so far. */
  get connections(): number {
    return this.agent.connections
  }

  /** Once the last request is answered. */
  async close(): Promise<void> {
    this.closed = true
    await this.running
    this.agent.destroy()
  }

  private async run(): Promise<void> {
    const { below, pauseMs = 10, patienceMs = 2_000 } = this.habits
    for (let number = 1; !this.closed; number++) {
      const began = Date.now()
      const path = below === undefined ? '/' : `${below}/${number}`
      const { status, body } = await request(this.url, 'GET', path, undefined, { timeoutMs: patienceMs, agent: this.agent })
      if (status === 200 && (below === undefined || body.text === path)) this.succeeded++
      else if (this.failures.length < failuresMax)
        this.failures.push(`${new Date(began).toISOString()} ${path} status ${status} ${JSON.stringify(body)}`)
      this.slowest = Math.max(this.slowest, Date.now() - began)
      await pause(pauseMs)
    }
  }
}

class CountingAgent extends Agent {
  connections = 0

  override createConnection(...given: Parameters<Agent['createConnection']>): ReturnType<Agent['createConnection']> {
    this.connections++
    return super.createConnection(...given)
  }
}
