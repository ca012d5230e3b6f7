/** Cuts nodes on loopback by a packet filter, in an nftables table of its own that is there only while something is cut. Needs root. */
import { spawn } from 'node:child_process'
import { type Cable, type Direction, pair, pairsOf, type Wired } from './cable.js'

export class NftCable implements Cable {
  private readonly nodes: readonly Wired[]
  private readonly table: string
  private readonly blocked = new Set<string>()

  private constructor(nodes: readonly Wired[], table: string) {
    this.nodes = nodes
    this.table = table
  }

  /** Undefined where this user may not filter packets. What an earlier run with this tag left is removed. */
  static async open(nodes: readonly Wired[], tag: string): Promise<NftCable | undefined> {
    if (process.getuid?.() !== 0) return undefined
    const cable = new NftCable(nodes, `quorate_${tag}`)
    try {
      await cable.load()
      return cable
    } catch {
      return undefined
    }
  }

  cut(node: string, direction: Direction): Promise<void> {
    for (const one of pairsOf(this.nodes, node, direction)) this.blocked.add(one)
    return this.load()
  }

  heal(node: string): Promise<void> {
    for (const one of pairsOf(this.nodes, node, 'both')) this.blocked.delete(one)
    return this.load()
  }

  close(): Promise<void> {
    this.blocked.clear()
    return this.load()
  }

  /**
   * The whole table at once. Only the nodes' own ports are dropped, for any client on this machine looks as though it
   * came from 127.0.0.1.
   */
  private load(): Promise<void> {
    const clear = [`table inet ${this.table} {}`, `delete table inet ${this.table}`]
    const rules = this.nodes.flatMap((from) =>
      this.nodes.filter((to) => this.blocked.has(pair(from.name, to.name))).flatMap((to) => drops(from, to)),
    )
    if (rules.length === 0) return nft(clear)
    const chain = ['type filter hook input priority -300; policy accept;', ...rules]
    return nft([...clear, `table inet ${this.table} {`, 'chain input {', ...chain, '}', '}'])
  }
}

function drops(from: Wired, to: Wired): readonly string[] {
  const ports = (node: Wired): string => `{ ${node.port}, ${node.guardianPort} }`
  const addresses = `ip saddr ${from.address} ip daddr ${to.address} meta l4proto { tcp, udp } th`
  return [`${addresses} dport ${ports(to)} drop`, `${addresses} sport ${ports(from)} drop`]
}

function nft(lines: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn('nft', ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] })
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
