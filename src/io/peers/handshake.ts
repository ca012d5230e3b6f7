/**
 * Who is there? Both sides say hello in plain JSON, then each proves that it has the cluster's secret: an HMAC over
 * both hellos, with its own side in it, so that neither an old proof nor the other side's own can be played back.
 *
 *     both      "quorate" version(1 byte)  hello{cluster, ids, node, process, secret's fingerprint, nonce}
 *     dialer    proof("dialer")
 *     acceptor  proof("acceptor"), after it has checked the dialer's
 *
 * The preamble stays as it is in all versions to come, and so does the frame `reject`, which carries the reason as text.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { type ClusterId, isName, type MemberId, type NodeId } from '../../base/index.js'
import type { PeerIntroduction } from './contract.js'
import { deriveKey } from './key.js'

export const protocolVersion = 2
export const preambleLength = 8
/** Largest hello or proof, in bytes. */
export const helloMax = 4_096

export type Side = 'dialer' | 'acceptor'

export interface Hello extends PeerIntroduction {
  readonly cluster: string
  /** Tells people which of two nodes has another secret, without telling the secret. */
  readonly secret: string
  readonly nonce: string
}

/** This node, as it introduces itself. */
export interface Self extends PeerIntroduction {
  readonly cluster: string
  readonly secret: string | Uint8Array
}

const magic = 'quorate'

export function preamble(version = protocolVersion): Buffer {
  return Buffer.concat([Buffer.from(magic), Buffer.from([version])])
}

/** What is wrong with the first bytes of a connection; undefined when they are ours. */
export function checkPreamble(bytes: Uint8Array, self: NodeId): string | undefined {
  const text = Buffer.from(bytes).toString('latin1', 0, magic.length)
  if (text !== magic)
    return `the peer began with ${JSON.stringify(text)}, node ${self} expects ${JSON.stringify(magic)}: is its address right?`
  if (bytes[magic.length] === protocolVersion) return undefined
  return `the peer speaks version ${bytes[magic.length]} of the peer protocol, node ${self} version ${protocolVersion}`
}

export function encodeHello(self: Self): Buffer {
  const { node, clusterId, memberId, processId, cluster, level } = self
  const hello = {
    node,
    clusterId,
    memberId,
    processId,
    cluster,
    level,
    secret: fingerprint(self.secret),
    nonce: randomBytes(32).toString('hex'),
  }
  return Buffer.from(JSON.stringify(hello))
}

/** First 8 hexadecimal digits of a key derived from the secret. */
function fingerprint(secret: string | Uint8Array): string {
  return Buffer.from(deriveKey(secret, 'fingerprint')).toString('hex', 0, 4)
}

/** Undefined where the bytes are no hello. */
export function decodeHello(bytes: Uint8Array): Hello | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { node, clusterId, memberId, processId, cluster, level, secret, nonce } = value as Record<string, unknown>
  if (typeof node !== 'string' || !isName(node)) return undefined
  for (const part of [processId, cluster, secret, nonce])
    if (typeof part !== 'string' || part.length === 0 || part.length > 256) return undefined
  return {
    node: node as NodeId,
    clusterId: typeof clusterId === 'string' ? (clusterId as ClusterId) : undefined,
    memberId: typeof memberId === 'string' ? (memberId as MemberId) : undefined,
    processId: processId as string,
    level: typeof level === 'number' && Number.isInteger(level) ? level : undefined,
    cluster: cluster as string,
    secret: secret as string,
    nonce: nonce as string,
  }
}

/**
 * Why this node will not talk to the one that sent `theirs`; undefined when it will, once it has proved itself.
 * `known` are the names of the nodes of this cluster, undefined where others may introduce themselves too; `expected` is the one whose address was dialled.
 */
export function checkHello(self: Self, theirs: Hello, known: Iterable<NodeId> | undefined, expected?: NodeId): string | undefined {
  if (theirs.cluster !== self.cluster) {
    return `node ${theirs.node} belongs to cluster "${theirs.cluster}", node ${self.node} to cluster "${self.cluster}"`
  }
  if (theirs.node === self.node) {
    if (theirs.processId === self.processId) return `node ${self.node} reached itself: an address of another node is its own`
    return `two processes are called node ${self.node}: ${theirs.processId} and ${self.processId}`
  }
  if (expected !== undefined && theirs.node !== expected) return `node ${theirs.node} answers at the address of node ${expected}`
  const names = known === undefined ? [theirs.node] : [...known]
  if (!names.includes(theirs.node)) return `node ${theirs.node} is not in the cluster of node ${self.node}, which knows ${names.join(', ')}`
  const ids = checkClusterIds(self, theirs)
  if (ids !== undefined) return ids
  if (theirs.secret !== fingerprint(self.secret)) {
    return `the cluster secret of node ${theirs.node} has the fingerprint ${theirs.secret}, that of node ${self.node} ${fingerprint(self.secret)}`
  }
  return undefined
}

/** A cluster id that is not known yet, while the cluster forms, goes with any. */
export function checkClusterIds(self: PeerIntroduction, theirs: PeerIntroduction): string | undefined {
  if (self.clusterId === undefined || theirs.clusterId === undefined || self.clusterId === theirs.clusterId) return undefined
  return `node ${theirs.node} belongs to the cluster with id ${theirs.clusterId}, node ${self.node} to the one with id ${self.clusterId}`
}

/** Proves knowledge of the secret to whoever saw both hellos, as exactly this side of exactly this connection. */
export function proof(secret: string | Uint8Array, side: Side, dialerHello: Uint8Array, acceptorHello: Uint8Array): Buffer {
  const hmac = createHmac('sha256', deriveKey(secret, 'peers'))
  for (const part of [preamble(), Buffer.from(side), dialerHello, acceptorHello]) {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(part.length)
    hmac.update(length).update(part)
  }
  return hmac.digest()
}

export function isProof(given: Uint8Array, expected: Uint8Array): boolean {
  return given.length === expected.length && timingSafeEqual(given, expected)
}
