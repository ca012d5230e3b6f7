/**
 * One datagram as bytes.
 *
 *     "QD" | version u8 | length of sender u8 | sender | process nonce 8 bytes | counter u48 | payload | MAC 16 bytes
 *
 * The MAC is the first half of an HMAC-SHA256 over all before it, with the sender's key. Nothing in a packet is looked at
 * before the MAC is found right, but for the sender's name, which chooses the key.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { decode, encode, invariant } from '../../base/index.js'

/** Largest encoded message, in bytes. Above some 1,400 a packet is split by the network, and is lost with any of its parts. */
export const payloadMax = 8 * 1024

export const nonceLength = 8
const macLength = 16
const version = 1
const fixedLength = 4 + nonceLength + 6 + macLength
const magic = Buffer.from('QD')

export interface Packet {
  readonly sender: string
  /** Random per process, as hexadecimal digits. */
  readonly nonce: string
  readonly counter: number
  readonly message: unknown
}

/** Sent to a port only to see whether it is open; the receiver drops it. */
export const probePacket = Buffer.concat([magic, Buffer.from([0])])

export function isProbe(bytes: Buffer): boolean {
  return bytes.equals(probePacket)
}

/** A message whose encoding exceeds `payloadMax` is a broken invariant: senders know what they send. */
export function encodePacket(sender: string, nonce: Buffer, counter: number, message: unknown, key: Uint8Array): Buffer {
  const payload = encode(message)
  invariant(payload.length <= payloadMax, 'a datagram has a bounded size', { bytes: payload.length, payloadMax })
  const name = Buffer.from(sender)
  invariant(name.length > 0 && name.length < 256, 'a sender has a short name', { sender })
  const packet = Buffer.allocUnsafe(fixedLength + name.length + payload.length)
  magic.copy(packet)
  packet[2] = version
  packet[3] = name.length
  name.copy(packet, 4)
  let at = 4 + name.length
  at += nonce.copy(packet, at)
  at = packet.writeUIntLE(counter, at, 6)
  packet.set(payload, at)
  mac(packet, key).copy(packet, packet.length - macLength)
  return packet
}

function mac(packet: Buffer, key: Uint8Array): Buffer {
  return createHmac('sha256', key)
    .update(packet.subarray(0, packet.length - macLength))
    .digest()
    .subarray(0, macLength)
}

export type BadPacket = 'garbled' | 'version' | 'unknown-sender' | 'forged'

/** The packet, or why it is none. `key` gives a sender's key, undefined for a stranger. */
export function decodePacket(bytes: Buffer, key: (sender: string) => Uint8Array | undefined): Packet | BadPacket {
  if (bytes.length < fixedLength + 1 || !bytes.subarray(0, 2).equals(magic)) return 'garbled'
  if (bytes[2] !== version) return 'version'
  const nameLength = bytes[3] as number
  if (nameLength === 0 || bytes.length < fixedLength + nameLength) return 'garbled'
  const sender = bytes.toString('utf8', 4, 4 + nameLength)
  const senderKey = key(sender)
  if (senderKey === undefined) return 'unknown-sender'
  if (!timingSafeEqual(bytes.subarray(bytes.length - macLength), mac(bytes, senderKey))) return 'forged'
  const at = 4 + nameLength
  const payload = bytes.subarray(at + nonceLength + 6, bytes.length - macLength)
  try {
    const message = decode(payload)
    return { sender, nonce: bytes.toString('hex', at, at + nonceLength), counter: bytes.readUIntLE(at + nonceLength, 6), message }
  } catch {
    return 'garbled'
  }
}
