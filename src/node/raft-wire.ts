/**
 * Raft messages on the wire.
 *
 * The four kinds that come with every round are a run of bytes where the other side has feature level 5, for a general encoder spends more on their maps
 * than the disk on what they carry:
 *
 *     kind  u8 | length of sender  u8 | length of receiver  u8 | sender | receiver | numbers  u48 each | entries        (little-endian)
 *
 * All others are maps, and so are these four for older members and where they are large. The entries of an append are one run of
 * bytes in both; their indexes follow from the message:
 *
 *     kind  u8 | length of data  u32 | term  u48 | data        one entry after the other
 *
 * What is packed for one follower is mostly what the next one gets too, and is packed once.
 */
import { invariant, type LogIndex, logIndex, type MemberId, type Term, term } from '../base/index.js'
import type { LogEntry, RaftMessage } from '../core/raft/index.js'

type Append = Extract<RaftMessage, { kind: 'append' }>
export type PackedMessage = Exclude<RaftMessage, Append> | (Omit<Append, 'entries'> & { readonly entries: Uint8Array })

export interface RaftFrame {
  readonly kind: 'raft'
  /** Sender and receiver: a node has two members while a new life of it takes over. */
  readonly member: MemberId
  readonly to: MemberId
  readonly message: PackedMessage
}

/** What a frame turned out to be. */
export interface UnpackedFrame {
  readonly member: MemberId
  readonly to: MemberId
  readonly message: RaftMessage
}

const entryHead = 11
const entryKinds = ['noop', 'command', 'configuration'] as const
const numberLength = 6
/** How many numbers each kind has, by its place here. */
const kinds = ['append', 'append-response', 'heartbeat', 'heartbeat-response'] as const
const counts = [4, 5, 3, 3] as const
const headLength = 3
/** Bytes of entries from which on one map more is nothing beside them. */
const compactMax = 64 * 1024

export class RaftPacker {
  private readonly self: MemberId
  private last: { readonly entries: readonly LogEntry[]; readonly bytes: Uint8Array } = { entries: [], bytes: new Uint8Array() }
  /** What stands before the numbers, by receiver. */
  private readonly heads = new Map<MemberId, Buffer>()

  constructor(self: MemberId) {
    this.self = self
  }

  /** `isCompact`: the receiver's software has feature level 5. */
  pack(to: MemberId, message: RaftMessage, isCompact: boolean): RaftFrame | Uint8Array {
    if (isCompact) {
      const bytes = this.packCompactly(to, message)
      if (bytes !== undefined) return bytes
    }
    const { self: member } = this
    if (message.kind !== 'append') return { kind: 'raft', member, to, message }
    return { kind: 'raft', member, to, message: { ...message, entries: this.entriesOf(message) } }
  }

  private packCompactly(to: MemberId, message: RaftMessage): Uint8Array | undefined {
    switch (message.kind) {
      case 'append': {
        const entries = this.entriesOf(message)
        if (entries.length > compactMax) return undefined
        const bytes = this.begin(0, to, entries.length)
        let at = writeNumber(bytes, this.numbersAt(to), message.term)
        at = writeNumber(bytes, at, message.prevIndex)
        at = writeNumber(bytes, at, message.prevTerm)
        at = writeNumber(bytes, at, message.commit)
        bytes.set(entries, at)
        return bytes
      }
      case 'append-response': {
        const bytes = this.begin(1, to)
        let at = writeNumber(bytes, this.numbersAt(to), message.term)
        at = writeNumber(bytes, at, message.success ? 1 : 0)
        at = writeNumber(bytes, at, message.index)
        at = writeNumber(bytes, at, message.hintIndex)
        writeNumber(bytes, at, message.hintTerm)
        return bytes
      }
      case 'heartbeat': {
        const bytes = this.begin(2, to)
        let at = writeNumber(bytes, this.numbersAt(to), message.term)
        at = writeNumber(bytes, at, message.round)
        writeNumber(bytes, at, message.commit)
        return bytes
      }
      case 'heartbeat-response': {
        const bytes = this.begin(3, to)
        let at = writeNumber(bytes, this.numbersAt(to), message.term)
        at = writeNumber(bytes, at, message.round)
        writeNumber(bytes, at, message.durable)
        return bytes
      }
      default:
        return undefined
    }
  }

  private begin(kind: 0 | 1 | 2 | 3, to: MemberId, more = 0): Buffer {
    const head = this.headOf(to)
    const bytes = Buffer.allocUnsafe(head.length + numberLength * counts[kind] + more)
    bytes.set(head)
    bytes[0] = kind
    return bytes
  }

  private numbersAt(to: MemberId): number {
    return this.headOf(to).length
  }

  private headOf(to: MemberId): Buffer {
    let head = this.heads.get(to)
    if (head === undefined) {
      const [sender, receiver] = [Buffer.from(this.self, 'latin1'), Buffer.from(to, 'latin1')]
      invariant(sender.length < 256 && receiver.length < 256, 'a member has a short name', { self: this.self, to })
      head = Buffer.concat([Buffer.of(0, sender.length, receiver.length), sender, receiver])
      this.heads.set(to, head)
    }
    return head
  }

  private entriesOf({ entries }: Append): Uint8Array {
    // Entries are never changed: the same first and last of as many are the same ones.
    const before = this.last.entries
    if (entries.length !== before.length || entries[0] !== before[0] || entries.at(-1) !== before.at(-1))
      this.last = { entries, bytes: packed(entries) }
    return this.last.bytes
  }
}

/** Undefined where it is garbled. */
export function unpackFrame(frame: RaftFrame | Uint8Array): UnpackedFrame | undefined {
  if (frame instanceof Uint8Array) return unpackedCompactly(Buffer.from(frame.buffer, frame.byteOffset, frame.length))
  const { member, to, message } = frame
  if (typeof message !== 'object' || message === null) return undefined
  if (message.kind !== 'append') return { member, to, message }
  if (!(message.entries instanceof Uint8Array)) return undefined
  const { buffer, byteOffset, length } = message.entries
  const entries = unpacked(Buffer.from(buffer, byteOffset, length), 0, message.prevIndex + 1)
  return entries === undefined ? undefined : { member, to, message: { ...message, entries } }
}

function unpackedCompactly(bytes: Buffer): UnpackedFrame | undefined {
  if (bytes.length < headLength) return undefined
  const kind = kinds[bytes[0] as number]
  const count = counts[bytes[0] as number]
  if (kind === undefined || count === undefined) return undefined
  const receiverAt = headLength + (bytes[1] as number)
  const numbersAt = receiverAt + (bytes[2] as number)
  const end = numbersAt + count * numberLength
  if (kind === 'append' ? bytes.length < end : bytes.length !== end) return undefined
  const message = messageOf(kind, bytes, numbersAt, end)
  if (message === undefined) return undefined
  const member = bytes.toString('latin1', headLength, receiverAt) as MemberId
  return { member, to: bytes.toString('latin1', receiverAt, numbersAt) as MemberId, message }
}

function messageOf(kind: (typeof kinds)[number], bytes: Buffer, at: number, end: number): RaftMessage | undefined {
  const numberAt = (place: number): number => bytes.readUIntLE(at + place * numberLength, numberLength)
  const ofTerm: Term = term(numberAt(0))
  switch (kind) {
    case 'append': {
      const prevIndex: LogIndex = logIndex(numberAt(1))
      const entries = unpacked(bytes, end, prevIndex + 1)
      if (entries === undefined) return undefined
      return { kind, term: ofTerm, prevIndex, prevTerm: term(numberAt(2)), entries, commit: logIndex(numberAt(3)) }
    }
    case 'append-response':
      return {
        kind,
        term: ofTerm,
        success: numberAt(1) === 1,
        index: logIndex(numberAt(2)),
        hintIndex: logIndex(numberAt(3)),
        hintTerm: term(numberAt(4)),
      }
    case 'heartbeat':
      return { kind, term: ofTerm, round: numberAt(1), commit: logIndex(numberAt(2)) }
    case 'heartbeat-response':
      return { kind, term: ofTerm, round: numberAt(1), durable: logIndex(numberAt(2)) }
  }
}

function writeNumber(bytes: Buffer, at: number, value: number): number {
  return bytes.writeUIntLE(value, at, numberLength)
}

function packed(entries: readonly LogEntry[]): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(entries.reduce((sum, { data }) => sum + entryHead + data.length, 0))
  let at = 0
  for (const { kind, term, data } of entries) {
    bytes[at] = entryKinds.indexOf(kind)
    bytes.writeUInt32LE(data.length, at + 1)
    bytes.writeUIntLE(term, at + 5, 6)
    bytes.set(data, at + entryHead)
    at += entryHead + data.length
  }
  return bytes
}

function unpacked(bytes: Buffer, from: number, first: number): LogEntry[] | undefined {
  const entries: LogEntry[] = []
  for (let at = from; at < bytes.length; ) {
    if (at + entryHead > bytes.length) return undefined
    const kind = entryKinds[bytes[at] as number]
    const begin = at + entryHead
    const end = begin + bytes.readUInt32LE(at + 1)
    if (kind === undefined || end > bytes.length) return undefined
    const data = new Uint8Array(bytes.buffer, bytes.byteOffset + begin, end - begin)
    entries.push({ index: logIndex(first + entries.length), term: term(bytes.readUIntLE(at + 5, 6)), kind, data })
    at = end
  }
  return entries
}
