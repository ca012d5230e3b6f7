/**
 * Raft messages on the wire: the entries of an append are packed into one run of bytes, for they are most of what nodes say to each
 * other, and a general encoder spends more on their maps than the disk on their bytes.
 *
 *     kind  u8 | length of data  u32 | term  u48 | data        (little-endian), one entry after the other
 *
 * Their indexes follow from the message. What is packed for one follower is mostly what the next one gets too, and is packed once.
 */
import { logIndex, term } from '../base/index.js'
import type { LogEntry, RaftMessage } from '../core/raft/index.js'

type Append = Extract<RaftMessage, { kind: 'append' }>
export type PackedMessage = Exclude<RaftMessage, Append> | (Omit<Append, 'entries'> & { readonly entries: Uint8Array })

const head = 11
const kinds = ['noop', 'command', 'configuration'] as const

export class RaftPacker {
  private last: { readonly entries: readonly LogEntry[]; readonly bytes: Uint8Array } = { entries: [], bytes: new Uint8Array() }

  pack(message: RaftMessage): PackedMessage {
    if (message.kind !== 'append') return message
    // Entries are never changed: the same first and last of as many are the same ones.
    const { entries } = message
    const before = this.last.entries
    if (entries.length !== before.length || entries[0] !== before[0] || entries.at(-1) !== before.at(-1))
      this.last = { entries, bytes: packed(entries) }
    return { ...message, entries: this.last.bytes }
  }
}

/** Undefined where it is garbled. */
export function unpackMessage(message: PackedMessage): RaftMessage | undefined {
  if (message.kind !== 'append') return message
  const entries = unpacked(message.entries, message.prevIndex + 1)
  return entries === undefined ? undefined : { ...message, entries }
}

function packed(entries: readonly LogEntry[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(entries.reduce((sum, { data }) => sum + head + data.length, 0))
  let at = 0
  for (const { kind, term, data } of entries) {
    bytes[at] = kinds.indexOf(kind)
    bytes.writeUInt32LE(data.length, at + 1)
    bytes.writeUIntLE(term, at + 5, 6)
    bytes.set(data, at + head)
    at += head + data.length
  }
  return bytes
}

function unpacked(packed: Uint8Array, first: number): LogEntry[] | undefined {
  if (!(packed instanceof Uint8Array)) return undefined
  const bytes = Buffer.from(packed.buffer, packed.byteOffset, packed.length)
  const entries: LogEntry[] = []
  for (let at = 0; at < bytes.length; ) {
    if (at + head > bytes.length) return undefined
    const kind = kinds[bytes[at] as number]
    const begin = at + head
    const end = begin + bytes.readUInt32LE(at + 1)
    if (kind === undefined || end > bytes.length) return undefined
    const data = new Uint8Array(bytes.buffer, bytes.byteOffset + begin, end - begin)
    entries.push({ index: logIndex(first + entries.length), term: term(bytes.readUIntLE(at + 5, 6)), kind, data })
    at = end
  }
  return entries
}
