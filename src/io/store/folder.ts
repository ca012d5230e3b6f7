/**
 * What a data folder says of itself: its format, its identity, and which of its parts are current. Small JSON files
 * that people may read.
 *
 * They are replaced whole and durably; a file that does not parse or fails its checksum is damage, never an empty folder.
 *
 * Format 2 has the pointer file and log segments that begin with their base. A folder of format 1 is read as it is and
 * becomes one of format 2: its state keeps its place, its log goes on in a new segment.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { ClusterError, crc32c } from '../../base/index.js'
import type { LogPosition } from '../../core/raft/index.js'
import type { Identity } from './contract.js'
import type { Disk } from './disk.js'

export const formatVersion = 2

export interface Format {
  readonly format: number
  /** Random; every checksum of the log begins with it. */
  readonly logId: string
}

/** Says which parts are current. Replacing it is what installs a snapshot. */
export interface Current {
  /** Name of the folder of the applied state. */
  readonly applied: string
  /**
   * Position of the snapshot that the state came from, where the log was to begin anew after it. A log that begins earlier and
   * does not hold this position is one that a crash kept from being emptied.
   */
  readonly logBase: LogPosition | null
}

const formatFile = 'format.json'
const currentFile = 'current.json'
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
  if ((format !== 1 && format !== formatVersion) || typeof logId !== 'string') throw damaged(path, 'the file names no format')
  return { format, logId }
}

/** Of a new log, or of that of `known`, which had an older format. */
export async function writeFormat(disk: Disk, folder: string, known?: Format): Promise<Format> {
  const format = { format: formatVersion, logId: known?.logId ?? randomBytes(8).toString('hex') }
  await writeChecked(disk, join(folder, formatFile), format)
  return format
}

/** Undefined for a folder that is just being made, or `isOld`: before the file existed. Errors: STORE_CORRUPT. */
export async function readCurrent(disk: Disk, folder: string, isOld: boolean): Promise<Current | undefined> {
  const path = join(folder, currentFile)
  const value = await readChecked(disk, path)
  if (value === undefined) {
    if (!isOld && (await disk.list(folder)).includes('log')) throw damaged(path, 'the file is missing while log is there')
    return undefined
  }
  const { applied, logBase } = value as unknown as Current
  if (typeof applied !== 'string' || appliedNumber(applied) === undefined || logBase === undefined) {
    throw damaged(path, 'the file does not name the applied state')
  }
  return { applied, logBase }
}

export async function writeCurrent(disk: Disk, folder: string, current: Current): Promise<Current> {
  await writeChecked(disk, join(folder, currentFile), current)
  return current
}

/** Name of the folder of the applied state that was received as number `number`; a node's own first one has number 0. */
export function appliedName(number: number): string {
  return number === 0 ? 'applied' : `applied-${number}`
}

/** Undefined for any other name. */
export function appliedNumber(name: string): number | undefined {
  const match = /^applied(?:-(\d{1,15}))?$/.exec(name)
  return match === null ? undefined : Number(match[1] ?? 0)
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
  if (phase === undefined || !['forming', 'formed', 'quarantined', 'recovering'].includes(phase))
    throw damaged(path, `the phase is ${JSON.stringify(phase)}`)
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
