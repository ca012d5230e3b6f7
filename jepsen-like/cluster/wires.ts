/**
 * What lies between the nodes: each direction of each pair can be cut, or lose some of what it carries.
 *
 * As root a packet filter does it, on loopback in one table, in network namespaces in each receiver's own. Without root, or
 * where it is asked for, a relay does; it can also delay, reorder and repeat. What each fault asks for is kept apart, so that healing
 * one does not heal another.
 */
import { spawn } from 'node:child_process'
import type { Network } from '../../scripts/lib/netns.js'
import type { Relay, Shape } from '../../scripts/lib/relay.js'

export interface Wired {
  readonly name: string
  readonly address: string
  /** Of its second link. */
  readonly second?: string
  readonly port: number
  readonly guardianPort: number
}

export interface Impairment extends Partial<Omit<Shape, 'loss'>> {
  readonly from: string
  readonly to: string
  /** Percent of the packets; 100 is a cut. */
  readonly loss: number
  /** Only over this one of several links. */
  readonly link?: number
}

/** By `from>to`, and `from>to/link` for one of several links, the worst of what is asked for. */
export type Shapes = ReadonlyMap<string, Shape>

export interface Carrier {
  /** Why nothing can be cut; undefined where it can. */
  readonly lacks?: string
  /** Whether it takes part of a second or less. */
  readonly isQuick?: boolean
  /** Whether packets can be late, overtake each other, and come twice. */
  readonly canDelay: boolean
  apply(shapes: Shapes): Promise<void>
}

export class Wires {
  readonly #carrier: Carrier
  readonly #asked = new Map<number, readonly Impairment[]>()
  #working: Promise<unknown> = Promise.resolve()

  constructor(carrier: Carrier) {
    this.#carrier = carrier
  }

  get lacks(): string | undefined {
    return this.#carrier.lacks
  }

  get isQuick(): boolean {
    return this.#carrier.isQuick ?? true
  }

  get canDelay(): boolean {
    return this.#carrier.canDelay
  }

  /** In force until the same `id` asks for something else, or for nothing. */
  set(id: number, impairments: readonly Impairment[]): Promise<void> {
    if (impairments.length === 0) this.#asked.delete(id)
    else this.#asked.set(id, impairments)
    const worst = new Map<string, Shape>()
    for (const { from, to, link, loss, delay = 0, jitter = 0, duplicate = 0 } of [...this.#asked.values()].flat()) {
      const name = `${from}>${to}${link === undefined ? '' : `/${link}`}`
      const known = worst.get(name) ?? { loss: 0, delay: 0, jitter: 0, duplicate: 0 }
      worst.set(name, {
        loss: Math.max(known.loss, loss),
        delay: Math.max(known.delay, delay),
        jitter: Math.max(known.jitter, jitter),
        duplicate: Math.max(known.duplicate, duplicate),
      })
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
  let before = new Map<string, Shape>()
  return {
    canDelay: true,
    async apply(shapes) {
      for (const from of names) {
        for (const to of names) {
          const name = `${from}>${to}`
          const wanted = shapes.get(name)
          const [isCut, wasCut] = [(wanted?.loss ?? 0) >= 100, (before.get(name)?.loss ?? 0) >= 100]
          if (isCut && !wasCut) relay.cutPair(from, to)
          if (!isCut && wasCut) relay.healPair(from, to)
          if (wanted !== undefined || before.has(name)) relay.shapePair(from, to, isCut ? undefined : wanted)
        }
      }
      before = new Map(shapes)
    },
  }
}

/** One table, for all nodes are on one loopback; only their own ports, for clients look like 127.0.0.1. */
export function loopbackCarrier(nodes: readonly Wired[], table: string): Carrier {
  return {
    canDelay: false,
    apply(shapes) {
      const clear = [`table inet ${table} {}`, `delete table inet ${table}`]
      const rules = nodes.flatMap((from) =>
        nodes.flatMap((to) => {
          if (from === to) return []
          const ports = (node: Wired): string => `{ ${node.port}, ${node.guardianPort} }`
          return matches(shapes, from, to).flatMap(({ match, loss }) => {
            const packets = `${match} meta l4proto { tcp, udp } th`
            // One throw for each packet, whichever of its ports is the node's.
            return [
              `${packets} dport ${ports(to)} ${chance(loss)} drop`,
              `${packets} sport ${ports(from)} th dport != ${ports(to)} ${chance(loss)} drop`,
            ]
          })
        }),
      )
      if (rules.length === 0) return nft([], clear)
      return nft(
        [],
        [...clear, `table inet ${table} {`, 'chain input {', 'type filter hook input priority -300; policy accept;', ...rules, '}', '}'],
      )
    },
  }
}

const addressesOf = ({ address, second }: Pick<Wired, 'address' | 'second'>): readonly string[] =>
  second === undefined ? [address] : [address, second]

/** What of the packets from one to the other is lost, each packet in one of them. */
function matches(shapes: Shapes, from: Wired, to: Wired): readonly { readonly match: string; readonly loss: number }[] {
  const name = `${from.name}>${to.name}`
  const [froms, tos] = [addressesOf(from), addressesOf(to)]
  const all = shapes.get(name)?.loss ?? 0
  const found = all === 0 ? [] : [{ match: `ip saddr { ${froms.join()} } ip daddr { ${tos.join()} }`, loss: all }]
  return [...found, ...ofLinks(shapes, from, to)]
}

/** A packet belongs to the link at whose address it arrives. */
function ofLinks(shapes: Shapes, from: Wired, to: Wired): readonly { readonly match: string; readonly loss: number }[] {
  const froms = addressesOf(from)
  return addressesOf(to).flatMap((address, link) => {
    const loss = shapes.get(`${from.name}>${to.name}/${link}`)?.loss ?? 0
    return loss === 0 ? [] : [{ match: `ip saddr { ${froms.join()} } ip daddr ${address}`, loss }]
  })
}

/** In each receiver's network, before anything else sees the packet, ARP included. */
export function namespaceCarrier(network: Network, nodes: readonly Wired[], macOf: (host: string) => string, device: string): Carrier {
  let filtered = new Set<string>()
  return {
    canDelay: false,
    async apply(shapes) {
      const now = new Set<string>()
      await Promise.all(
        nodes.map((node) => {
          const to = node.name
          const rules = nodes.flatMap((from) => {
            const loss = shapes.get(`${from.name}>${to}`)?.loss ?? 0
            const whole = loss === 0 ? [] : [`ether saddr ${macOf(from.name)} ${chance(loss)} drop`]
            return [...whole, ...ofLinks(shapes, from, node).map(({ match, loss: part }) => `${match} ${chance(part)} drop`)]
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
