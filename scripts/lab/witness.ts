/**
 * Looks into every node's network at a steady rhythm and notes each instant at which two of them hold the same address or
 * listen on the same service's port. It asks the kernel alone, so neither the cluster nor its agents can mislead it.
 */
import { listeningPorts, localAddresses, type Network } from '../lib/netns.js'

export interface Sighting {
  readonly at: number
  /** Such as `address 10.83.0.100` or `port 80`. */
  readonly what: string
  readonly nodes: readonly string[]
}

const rhythm = 20

export class Witness {
  readonly doubles: Sighting[] = []
  /** Every change of who has what. */
  readonly history: Sighting[] = []
  looks = 0
  longestPause = 0
  private readonly network: Network
  private readonly nodes: readonly string[]
  private readonly wanted: { readonly addresses: readonly string[]; readonly ports: readonly number[] }
  private readonly timer: NodeJS.Timeout
  private readonly last = new Map<string, string>()
  private lookedAt = performance.now()

  constructor(network: Network, nodes: readonly string[], wanted: Witness['wanted']) {
    this.network = network
    this.nodes = nodes
    this.wanted = wanted
    this.timer = setInterval(() => this.look(), rhythm)
  }

  close(): void {
    clearInterval(this.timer)
  }

  /** Who has it, at the last look. */
  holders(what: string): readonly string[] {
    return this.last.get(what)?.split(' ').filter(Boolean) ?? []
  }

  private look(): void {
    const now = performance.now()
    this.looks++
    this.longestPause = Math.max(this.longestPause, now - this.lookedAt)
    this.lookedAt = now
    const seen = this.nodes.map((node) => ({
      node,
      addresses: localAddresses(this.network.proc(node, 'fib_trie')),
      ports: listeningPorts(this.network.proc(node, 'tcp')),
    }))
    for (const address of this.wanted.addresses)
      this.note(
        `address ${address}`,
        seen.filter(({ addresses }) => addresses.has(address)),
      )
    for (const port of this.wanted.ports)
      this.note(
        `port ${port}`,
        seen.filter(({ ports }) => ports.has(port)),
      )
  }

  private note(what: string, found: readonly { readonly node: string }[]): void {
    const nodes = found.map(({ node }) => node)
    const sighting = { at: Date.now(), what, nodes }
    if (nodes.length > 1) this.doubles.push(sighting)
    if (this.last.get(what) === nodes.join(' ')) return
    this.last.set(what, nodes.join(' '))
    this.history.push(sighting)
  }
}
