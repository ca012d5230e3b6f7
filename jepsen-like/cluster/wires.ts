/**
 * What lies between the nodes: each direction of each pair can be cut, or lose some of what it carries.
 *
 * As root a packet filter does it, on loopback in one table, in network namespaces in each receiver's own. Without root a
 * relay does, and can only cut. What each fault asks for is kept apart, so that healing one does not heal another.
 */
import { spawn } from 'node:child_process'
import type { Network } from '../../scripts/lib/netns.js'
import type { Relay } from '../../scripts/lib/relay.js'

export interface Wired {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly guardianPort: number
}

export interface Impairment {
  readonly from: string
  readonly to: string
  /** Percent of the packets; 100 is a cut. */
  readonly loss: number
}

/** By `from>to`, the worst of what is asked for. */
type Losses = ReadonlyMap<string, number>

interface Carrier {
  readonly canLose: boolean
  apply(losses: Losses): Promise<void>
}

export class Wires {
  readonly #carrier: Carrier
  readonly #asked = new Map<number, readonly Impairment[]>()
  #working: Promise<unknown> = Promise.resolve()

  constructor(carrier: Carrier) {
    this.#carrier = carrier
  }

  get canLose(): boolean {
    return this.#carrier.canLose
  }

  /** In force until the same `id` asks for something else, or for nothing. */
  set(id: number, impairments: readonly Impairment[]): Promise<void> {
    if (impairments.length === 0) this.#asked.delete(id)
    else this.#asked.set(id, impairments)
    const worst = new Map<string, number>()
    for (const { from, to, loss } of [...this.#asked.values()].flat()) {
      const name = `${from}>${to}`
      worst.set(name, Math.max(worst.get(name) ?? 0, loss))
    }
    const done = this.#working.then(() => this.#carrier.apply(worst))
    this.#working = done.catch(() => undefined)
    return done
  }

  async clear(): Promise<void> {
    this.#asked.clear()
    await this.#working
    await this.#carrier.apply(new Map())
  }
}

export function relayCarrier(relay: Relay, names: readonly string[]): Carrier {
  let cut = new Set<string>()
  return {
    canLose: false,
    async apply(losses) {
      const wanted = new Set([...losses].filter(([, loss]) => loss >= 100).map(([name]) => name))
      for (const from of names) {
        for (const to of names) {
          const name = `${from}>${to}`
          if (wanted.has(name) && !cut.has(name)) relay.cutPair(from, to)
          if (!wanted.has(name) && cut.has(name)) relay.healPair(from, to)
        }
      }
      cut = wanted
    },
  }
}

/** One table, for all nodes are on one loopback; only their own ports, for clients look like 127.0.0.1. */
export function loopbackCarrier(nodes: readonly Wired[], table: string): Carrier {
  return {
    canLose: true,
    apply(losses) {
      const clear = [`table inet ${table} {}`, `delete table inet ${table}`]
      const rules = nodes.flatMap((from) =>
        nodes.flatMap((to) => {
          const loss = losses.get(`${from.name}>${to.name}`) ?? 0
          if (loss === 0 || from === to) return []
          const packets = `ip saddr ${from.address} ip daddr ${to.address} meta l4proto { tcp, udp } th`
          const ports = (node: Wired): string => `{ ${node.port}, ${node.guardianPort} }`
          // One throw for each packet, whichever of its ports is the node's.
          return [
            `${packets} dport ${ports(to)} ${chance(loss)} drop`,
            `${packets} sport ${ports(from)} th dport != ${ports(to)} ${chance(loss)} drop`,
          ]
        }),
      )
      if (rules.length === 0) return nft([], clear)
      return nft([], [...clear, `table inet ${table} {`, 'chain input {', 'type filter hook input priority -300; policy accept;', ...rules, '}', '}'])
    },
  }
}

/** In each receiver's network, before anything else sees the packet, ARP included. */
export function namespaceCarrier(network: Network, hosts: readonly string[], macOf: (host: string) => string, device: string): Carrier {
  let filtered = new Set<string>()
  return {
    canLose: true,
    async apply(losses) {
      const now = new Set<string>()
      await Promise.all(
        hosts.map((to) => {
          const rules = hosts.flatMap((from) => {
            const loss = losses.get(`${from}>${to}`) ?? 0
            return loss === 0 ? [] : [`ether saddr ${macOf(from)} ${chance(loss)} drop`]
          })
          const table = 'table netdev chaos'
          const clear = [`${table} {}`, `delete ${table}`]
          if (rules.length > 0) now.add(to)
          else if (!filtered.has(to)) return undefined
          const chain = [`${table} {`, 'chain wire {', `type filter hook ingress device "${device}" priority -300; policy accept;`]
          return nft(network.prefix(to), rules.length === 0 ? clear : [...clear, ...chain, ...rules, '}', '}'])
        }),
      )
      filtered = now
    },
  }
}

function chance(loss: number): string {
  return loss >= 100 ? '' : `numgen random mod 100 < ${Math.round(loss)}`
}

function nft(prefix: readonly string[], lines: readonly string[]): Promise<void> {
  const [program, ...args] = [...prefix, 'nft', '-f', '-']
  return new Promise((resolve, reject) => {
    const child = spawn(program as string, args, { stdio: ['pipe', 'ignore', 'pipe'] })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve() : reject(new Error(`nft: ${said.trim()}`))))
    child.stdin.on('error', () => undefined)
    child.stdin.end(`${lines.join('\n')}\n`)
  })
}
