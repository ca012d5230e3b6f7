/** The key by which one boot of a node stands on a shared disk. */
import type { BootId, NodeId } from '../../base/index.js'
import type { DiskKey } from './orders.js'

const offset = 0xcbf29ce484222325n
const prime = 0x100000001b3n
const mask = 0xffffffffffffffffn

/** The same for everybody who asks, another one for each boot, and never 0, which stands for no key (FNV-1a, 64 bits). */
export function diskKey(cluster: string, node: NodeId, boot: BootId): DiskKey {
  let hash = offset
  for (const byte of new TextEncoder().encode(`${cluster}\0${node}\0${boot}`)) hash = ((hash ^ BigInt(byte)) * prime) & mask
  return (hash === 0n ? 1n : hash).toString(16).padStart(16, '0')
}
