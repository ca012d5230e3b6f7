/** CRC-32C (Castagnoli), as iSCSI and ext4 use it (RFC 3720 appendix B.4). */

const tables = makeTables()

/** Checksum of `bytes`, continuing from `seed` (the checksum of what came before). An unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  let at = 0
  const [t0, t1, t2, t3] = tables
  for (; at + 4 <= bytes.length; at += 4) {
    crc ^= (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)
    crc = (t3[crc & 0xff] as number) ^ (t2[(crc >>> 8) & 0xff] as number) ^ (t1[(crc >>> 16) & 0xff] as number) ^ (t0[crc >>> 24] as number)
  }
  for (; at < bytes.length; at++) crc = (t0[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The same of a text's UTF-8. */
export function crc32cOfText(text: string): number {
  const [table] = tables
  let crc = -1
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return crc32c(new TextEncoder().encode(text))
    crc = (table[(crc ^ code) & 0xff] as number) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}

/** Four tables, so that the main loop takes four bytes a turn. */
function makeTables(): readonly [Int32Array, Int32Array, Int32Array, Int32Array] {
  const made = [new Int32Array(256), new Int32Array(256), new Int32Array(256), new Int32Array(256)] as const
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    made[0][byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < 4; slice++) {
      const before = made[slice - 1]?.[byte] as number
      const table = made[slice] as Int32Array
      table[byte] = (before >>> 8) ^ (made[0][before & 0xff] as number)
    }
  }
  return made
}
