/**
 * Tells a packet that was seen before from one that is merely late.
 *
 * For each process of each sender: the highest counter, and which of the `windowSize` below it have been seen (RFC 4303
 * §3.4.3). Only packets with a right MAC come here, so that a stranger cannot fill the table; it is bounded all the same.
 */

/** Counters behind the highest that may still arrive. */
export const windowSize = 1_024
/** Processes of one sender that are remembered, and senders; the longest unheard is forgotten. */
const processesMax = 16
const sendersMax = 256

interface Window {
  highest: number
  /** Bit `counter % windowSize` is set when it was seen. */
  readonly seen: Uint8Array
}

export class ReplayWindow {
  private readonly senders = new Map<string, Map<string, Window>>()

  /** Whether this packet is new; it counts as seen from now on. */
  accept(sender: string, nonce: string, counter: number): boolean {
    const window = this.windowOf(sender, nonce)
    if (counter > window.highest) {
      // What the window has moved over may be used again.
      const from = Math.max(window.highest + 1, counter - windowSize + 1)
      for (let passed = from; passed < counter; passed++) window.seen[passed % windowSize] = 0
      window.highest = counter
    } else if (counter <= window.highest - windowSize || window.seen[counter % windowSize] === 1) {
      return false
    }
    window.seen[counter % windowSize] = 1
    return true
  }

  private windowOf(sender: string, nonce: string): Window {
    const windows = recent(this.senders, sender, sendersMax, () => new Map<string, Window>())
    return recent(windows, nonce, processesMax, () => ({ highest: -1, seen: new Uint8Array(windowSize) }))
  }
}

/** The value of `key`, made where it is missing; a map keeps the order in which keys were last asked for. */
function recent<Value>(map: Map<string, Value>, key: string, max: number, make: () => Value): Value {
  const value = map.get(key) ?? make()
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= max) break
    map.delete(oldest)
  }
  return value
}
