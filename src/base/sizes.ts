/** Amounts of memory and disk, in bytes. */
import { ClusterError } from './errors.js'

const unitBytes: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
}

/**
 * A size as people write it: `512MiB`, `1.5GiB`, `10GB`, or a bare number of bytes.
 * Errors: INVALID.
 */
export function parseSize(value: string | number): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]i?B|B)?$/.exec(String(value).trim())
  const bytes = Math.round(Number(match?.[1]) * (unitBytes[match?.[2] ?? 'B'] ?? 1))
  if (match === null || !Number.isSafeInteger(bytes)) {
    throw new ClusterError('INVALID', `"${value}" is not a size`, {
      fix: 'write a number with KiB, MiB, GiB, TiB, KB, MB, GB or TB, for example 512MiB',
    })
  }
  return bytes
}

/** The shortest exact way to write it: 1048576 is `1MiB`. */
export function formatSize(bytes: number): string {
  for (const unit of ['TiB', 'GiB', 'MiB', 'KiB']) {
    const size = unitBytes[unit] ?? 1
    if (bytes >= size && bytes % size === 0) return `${bytes / size}${unit}`
  }
  return `${bytes}B`
}
