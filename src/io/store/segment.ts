/** The log's files: `log/0000000000000001.seg` and on, each with a checksum seed of its own. */
import { crc32c } from '../../base/index.js'

/** Name of the file of segment `number`, which counts from 1. */
export function segmentName(number: number): string {
  return `${String(number).padStart(16, '0')}.seg`
}

/** Number of the segment that `name` names; undefined for any other file. */
export function segmentNumber(name: string): number | undefined {
  const match = /^(\d{16})\.seg$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** What checksums of segment `number` begin with; `logId` is this log's random number, kept in the format file. */
export function segmentSeed(logId: string, number: number): number {
  return crc32c(Buffer.from(`${logId}/${number}`))
}
