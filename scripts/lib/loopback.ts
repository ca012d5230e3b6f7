/** Wires the nodes of a cluster that lives on loopback, with what this user may use. */
import type { Cable, Wired } from './cable.js'
import { NftCable } from './nft-cable.js'
import { openRelay } from './relay.js'

/**
 * Nodes on loopback: as root a packet filter cuts them, and they stay as they are; else a relay lies between them,
 * and each gets a front address (127.0.1.1 for 127.0.0.1, and so on) by which the others are to reach it.
 */
export async function wireLoopback<Node extends Wired>(
  nodes: readonly Node[],
  tag: string,
): Promise<{ readonly nodes: readonly Node[]; readonly cable: Cable }> {
  const filter = await NftCable.open(nodes, tag)
  if (filter !== undefined) return { nodes, cable: filter }
  const fronted = nodes.map((node) => ({ ...node, front: frontOf(node.address) }))
  return { nodes: fronted, cable: await openRelay(fronted) }
}

/** The address of a node's front, where it has one. */
export function frontOf(address: string): string {
  const [first, second, third, fourth] = address.split('.')
  return `${first}.${second}.${Number(third) + 1}.${fourth}`
}
