/**
 * What a data folder says of itself: its format and its identity, both small JSON files that people may read.
 *
 * Both are replaced whole and durably; a file that does not parse or fails its checksum is damage, never an empty folder.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { ClusterError, crc32c } from '../../base/index.js'
import type { Identity } from './contract.js'
import type { Disk } from './disk.js'

export const formatVersion = 1

export interface Format {
  readonly format: number
  /** Random; every checksum of the log begins with it. */
  readonly logId: string
}

const formatFile = 'format.json'
const identityFile = 'identity.json'

/** Undefined for an empty folder. Errors: STORE_FORMAT, STORE_CORRUPT. */
export async function readFormat(disk: Disk, folder: string): Promise<Format | undefined> {
  const path = join(folder, formatFile)
  const value = await readChecked(disk, path)
  if (value === undefined) {
    for (const name of [identityFile, 'log']) {
      if ((await disk.list(folder)).includes(name)) throw damaged(path, `the file is missing while ${name} is there`)
    }
    return undefined
  }
  const { format, logId } = value as Partial<Format>
  if (typeof format === 'number' && format > formatVersion) {
    throw new ClusterError('STORE_FORMAT', `${folder} has format ${format}, this version knows formats up to ${formatVersion}`, {
      fix: 'run the newer version that wrote it, or use another data folder',
      facts: { folder, format, known: formatVersion },
    })
  }
  if (format !== formatVersion || typeof logId !== 'string') throw damaged(path, 'the file names no format')
  return { format, logId }
}

export async function writeFormat(disk: Disk, folder: string): Promise<Format> {
  const format = { format: formatVersion, logId: randomBytes(8).toString('hex') }
  await writeChecked(disk, join(folder, formatFile), format)
  return format
}

/** Undefined where none was written. Errors: STORE_CORRUPT. */
export async function readIdentity(disk: Disk, folder: string): Promise<Identity | undefined> {
  const path = join(folder, identityFile)
  const value = await readChecked(disk, path)
  if (value === undefined) return undefined
  const { clusterId, memberId, node, phase, voters } = value as unknown as Identity
  if (typeof clusterId !== 'string' || typeof memberId !== 'string' || typeof node !== 'string' || !Array.isArray(voters)) {
    throw damaged(path, 'the file lacks a part of the identity')
  }
  if (phase !== 'forming' && phase !== 'formed') throw damaged(path, `the phase is ${JSON.stringify(phase)}`)
  return { clusterId, memberId, node, phase, voters }
}

export function writeIdentity(disk: Disk, folder: string, identity: Identity): Promise<void> {
  return writeChecked(disk, join(folder, identityFile), identity)
}

async function writeChecked(disk: Disk, path: string, value: object): Promise<void> {
  const checksum = crc32c(Buffer.from(JSON.stringify(value)))
  await disk.replace(path, `${JSON.stringify({ ...value, checksum }, undefined, 2)}\n`)
}

async function readChecked(disk: Disk, path: string): Promise<Readonly<Record<string, unknown>> | undefined> {
  const bytes = await disk.read(path)
  if (bytes === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    throw damaged(path, 'the file is not JSON')
  }
  if (typeof value !== 'object' || value === null) throw damaged(path, 'the file is not an object')
  const { checksum, ...rest } = value as Record<string, unknown>
  if (checksum !== crc32c(Buffer.from(JSON.stringify(rest)))) throw damaged(path, 'the file fails its checksum')
  return rest
}

function damaged(path: string, what: string): ClusterError {
  return new ClusterError('STORE_CORRUPT', `${path} at offset 0: ${what}`, {
    fix: 'nothing was changed; check the disk, move this data folder away and let the node join again as a new member',
    facts: { file: path, offset: 0 },
  })
}
