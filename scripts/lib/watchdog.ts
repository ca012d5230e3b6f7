/**
 * Stands in for the watchdog device of a machine: a FIFO that counts as the kernel does. Armed by the first byte, fed by any and by a
 * close without a last `V`, which alone disarms it. It lives outside the node that it resets.
 */
import { execFileSync } from 'node:child_process'
import { close, constants, openSync, read, rmSync, writeFileSync } from 'node:fs'

const lookEvery = 10

export class WatchdogStandIn {
  readonly path: string
  fed = 0
  last = ''
  /** Since when nothing came, by this process's clock. */
  fedAt = performance.now()
  private readonly fd: number
  private readonly timeout: number
  private readonly onHunger: (() => void) | undefined
  private isHeld = false
  private isArmed = false
  private closed = false

  /** `timeout` in milliseconds. Hungry for so long while it is armed, it calls `onHunger` once, and is disarmed. */
  constructor(path: string, timeout: number, onHunger?: () => void) {
    this.path = path
    this.timeout = timeout
    this.onHunger = onHunger
    execFileSync('mkfifo', ['-m', '600', path])
    writeFileSync(`${path}.timeout`, `${timeout}\n`)
    this.fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    this.listen()
  }

  get hungry(): number {
    return performance.now() - this.fedAt
  }

  private listen(): void {
    if (this.closed) return
    const bytes = Buffer.alloc(64)
    read(this.fd, bytes, 0, bytes.length, null, (error, count) => {
      if (error === null && count > 0) {
        this.isHeld = true
        this.fed += count
        this.last = String.fromCharCode(bytes[count - 1] as number)
        this.fedAt = performance.now()
        this.isArmed = this.last !== 'V'
      } else if (error === null && this.isHeld) {
        this.isHeld = false
        if (this.last !== 'V') this.fedAt = performance.now()
      }
      if (this.isArmed && !this.closed && this.hungry > this.timeout) {
        this.isArmed = false
        this.onHunger?.()
      }
      setTimeout(() => this.listen(), lookEvery)
    })
  }

  end(): void {
    this.closed = true
    close(this.fd)
    for (const file of [this.path, `${this.path}.timeout`]) rmSync(file, { force: true })
  }
}
