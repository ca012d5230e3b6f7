/** Somebody who uses the service all the time. */
import { pause, request } from '../../scripts/lib/http.js'

/** Asks every 10 ms, one request after the other. */
export class ServiceClient {
  readonly failures: string[] = []
  succeeded = 0
  slowest = 0
  private readonly url: string
  private closed = false

  constructor(url: string) {
    this.url = url
    void this.run()
  }

  close(): void {
    this.closed = true
  }

  private async run(): Promise<void> {
    while (!this.closed) {
      const began = Date.now()
      const { status, body } = await request(this.url, 'GET', '/', undefined, { timeoutMs: 2_000 })
      if (status === 200) this.succeeded++
      else this.failures.push(`${new Date(began).toISOString()} status ${status} ${JSON.stringify(body)}`)
      this.slowest = Math.max(this.slowest, Date.now() - began)
      await pause(10)
    }
  }
}
