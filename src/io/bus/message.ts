/** One message of D-Bus (D-Bus specification, "Message Format"), and how messages are found in a stream of bytes. */
import { type BusValue, BusVariant, Reader, readValues, Writer, writeValues } from './wire.js'

export const messageKinds = ['call', 'reply', 'error', 'signal'] as const

export interface BusMessage {
  readonly kind: (typeof messageKinds)[number]
  readonly serial: number
  readonly path?: string
  readonly interface?: string
  readonly member?: string
  readonly error?: string
  /** The call that is answered. */
  readonly replyTo?: number
  readonly destination?: string
  readonly sender?: string
  readonly signature?: string
  readonly body: readonly BusValue[]
}

/** Larger ones are refused: whoever sends them is not to fill our memory. systemd's largest answers here have some hundred KiB. */
const messageMax = 8 * 1_048_576
const fixedLength = 16

/** Header fields by their number. */
const fields = [
  [1, 'path', 'o'],
  [2, 'interface', 's'],
  [3, 'member', 's'],
  [4, 'error', 's'],
  [5, 'replyTo', 'u'],
  [6, 'destination', 's'],
  [7, 'sender', 's'],
  [8, 'signature', 'g'],
] as const

export function encodeMessage(message: BusMessage): Uint8Array {
  const body = new Writer()
  writeValues(message.signature ?? '', message.body, body)
  const given = fields.flatMap(([number, name, type]) => {
    const value = message[name]
    return value === undefined || value === '' ? [] : [[number, new BusVariant(type, value)]]
  })
  const header = new Writer()
  const isLittle = 'l'.charCodeAt(0)
  const fixed = [isLittle, messageKinds.indexOf(message.kind) + 1, 0, 1, body.length, message.serial]
  writeValues('yyyyuua(yv)', [...fixed, given], header)
  header.align(8)
  const whole = new Uint8Array(header.length + body.length)
  whole.set(header.bytes)
  whole.set(body.bytes, header.length)
  return whole
}

/** Throws where what came is no message. */
export class MessageReader {
  #bytes = new Uint8Array(0)

  /** The messages that are whole by now. Of kinds that are not known, none. */
  push(chunk: Uint8Array): readonly BusMessage[] {
    const whole = new Uint8Array(this.#bytes.length + chunk.length)
    whole.set(this.#bytes)
    whole.set(chunk, this.#bytes.length)
    const messages: BusMessage[] = []
    let at = 0
    for (;;) {
      const length = lengthOf(whole.subarray(at))
      if (length === undefined || at + length > whole.length) break
      const message = decode(whole.slice(at, at + length))
      if (message !== undefined) messages.push(message)
      at += length
    }
    this.#bytes = whole.slice(at)
    return messages
  }
}

/** Undefined while it cannot be known. */
function lengthOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < fixedLength) return undefined
  const isLittle = isLittleEndian(bytes)
  const view = new DataView(bytes.buffer, bytes.byteOffset, fixedLength)
  const header = fixedLength + view.getUint32(12, isLittle)
  const length = Math.ceil(header / 8) * 8 + view.getUint32(4, isLittle)
  if (length > messageMax) throw new Error(`a message of ${length} bytes is too large`)
  return length
}

function isLittleEndian(bytes: Uint8Array): boolean {
  const mark = String.fromCharCode(bytes[0] ?? 0)
  if (mark !== 'l' && mark !== 'B') throw new Error('what came is no message of D-Bus')
  return mark === 'l'
}

function decode(bytes: Uint8Array): BusMessage | undefined {
  const reader = new Reader(bytes, isLittleEndian(bytes))
  const [, kindNumber, , version, , serial, headers] = readValues('yyyyuua(yv)', reader) as readonly BusValue[]
  if (version !== 1) throw new Error(`version ${version} of D-Bus is not known`)
  const kind = messageKinds[(kindNumber as number) - 1]
  if (kind === undefined) return undefined
  reader.align(8)
  const given = new Map((headers as readonly (readonly [number, BusValue])[]).map(([number, value]) => [number, value]))
  const named = Object.fromEntries(fields.flatMap(([number, name]) => (given.has(number) ? [[name, given.get(number)]] : [])))
  const { signature = '' } = named as { readonly signature?: string }
  return { kind, serial: serial as number, ...named, body: readValues(signature, reader) }
}
