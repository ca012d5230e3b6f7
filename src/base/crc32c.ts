/** CRC-32C (Castagnoli), as iSCSI and ext4 use it (RFC 3720 appendix B.4). */

type Table = Int32Array

/** Constants each, which the compiler knows: taken out of a list by each call, they take the gain away. */
const [t0, t1, t2, t3, t4, t5, t6, t7] = makeTables() as [Table, Table, Table, Table, Table, Table, Table, Table]

/** Checksum of `bytes`, continuing from `seed` (the checksum of what came before). An unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  let at = 0
  for (; at + 8 <= bytes.length; at += 8) {
    crc ^= (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)
    crc =
      (t7[crc & 0xff] as number) ^
      (t6[(crc >>> 8) & 0xff] as number) ^
      (t5[(crc >>> 16) & 0xff] as number) ^
      (t4[crc >>> 24] as number) ^
      (t3[bytes[at + 4] as number] as number) ^
      (t2[bytes[at + 5] as number] as number) ^
      (t1[bytes[at + 6] as number] as number) ^
      (t0[bytes[at + 7] as number] as number)
  }
  for (; at < bytes.length; at++) crc = (t0[(crc ^ (bytes[at] as number)) & 0xff] as number) ^ (crc >>> 8)
  return ~crc >>> 0
}

/** The same of a text's UTF-8. */
export function crc32cOfText(text: string, seed = 0): number {
  let crc = ~seed
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code > 0x7f) return crc32c(new TextEncoder().encode(text), seed)
    crc = (t0[(crc ^ code) & 0xff] as number) ^ (crc >>> 8)
  }
  return ~crc >>> 0
}

/** Eight tables, so that the main loop takes eight bytes a turn. */
function makeTables(): readonly Table[] {
  const made = Array.from({ length: 8 }, () => new Int32Array(256))
  const first = made[0] as Table
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
    first[byte] = crc
  }
  for (let byte = 0; byte < 256; byte++) {
    for (let slice = 1; slice < made.length; slice++) {
      const before = made[slice - 1]?.[byte] as number
      const table = made[slice] as Table
      table[byte] = (before >>> 8) ^ (first[before & 0xff] as number)
    }
  }
  return made
}
