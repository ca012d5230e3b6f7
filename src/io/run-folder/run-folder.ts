/**
 * The run folder: what must outlive every process of the node but not the boot. A tmpfs in production.
 *
 * Reads tolerate missing and garbled files, each in its safe sense: a deadline has passed, a record's group is
 * UNKNOWN, a seal holds.
 */
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type BootId, type BootInstant, bootInstant, type GroupName, type Token } from '../../base/index.js'
import type { Detachment } from '../../core/guardian/index.js'
import type { ProcessIdentity, RunRecord } from '../../core/monitor/index.js'
import { checksum, makeFolder, readChecked, writeChecked } from './atomic-file.js'
import { LeaseWriter, readLease } from './lease-file.js'
import { deleteRunRecord, openTokens, type RunRecords, readRunRecord, readRunRecords, writeRunRecord } from './run-records.js'
import { Seals } from './seals.js'
import { UnitNotes } from './unit-notes.js'

/** `monitor@<group>` is the monitor that this group has of its own. */
export type ProcessRole = 'guardian' | 'daemon' | 'monitor' | `monitor@${string}`

/** An emergency stop that has begun and not ended. It is finished by whichever guardian finds it. */
export interface EmergencyMarker {
  readonly boot: BootId
  readonly reason: string
  /** Boot clock when it began. */
  readonly since: BootInstant
  readonly tokens: { readonly [group: GroupName]: Token }
  readonly phase: 'stopping' | 'cannot-verify' | 'stopped'
  /** The watchdog is to reset the machine. */
  readonly reset?: true
}

export interface RunFolder {
  readonly path: string
  /** Short and the same for every process that names this folder: part of the names of locks, cgroups and markers. */
  readonly key: string
  /**
   * A new boot inherits nothing: whatever the boot before left as run records, emergency and agents' notes goes, for the
   * power that renewed the boot id has ended it all. Seals stay; tokens only grow. Called first by guardian and monitor.
   */
  beginBoot(boot: BootId): void
  /** For the daemon alone, once per process. */
  openLease(boot: BootId): LeaseWriter
  /** 0, long passed, when missing, garbled or of another boot. */
  readDeadline(boot: BootId): BootInstant
  writeRecord(record: RunRecord): void
  deleteRecord(group: GroupName, token: Token): void
  readRecords(): RunRecords
  readRecord(group: GroupName, token: Token): RunRecord | undefined
  /** Groups that have a run record, readable or not. */
  openTokens(): ReadonlyMap<GroupName, Token>
  readonly seals: Seals
  readonly units: UnitNotes
  writeEmergency(marker: EmergencyMarker): void
  readEmergency(): EmergencyMarker | undefined
  clearEmergency(): void
  /** Whether maintenance has suspended the guardian of this boot; undefined where it never has. */
  readDetachment(boot: BootId): Detachment | undefined
  writeDetachment(boot: BootId, detachment: Detachment): void
  /** Milliseconds, as the guardian before had it in this boot; undefined where none did. */
  readEmergencyStop(boot: BootId): number | undefined
  writeEmergencyStop(boot: BootId, milliseconds: number): void
  /** Counts the daemons of one boot: 1 for the first. */
  nextSession(boot: BootId): number
  writePid(role: ProcessRole, process: ProcessIdentity): void
  readPid(role: ProcessRole): ProcessIdentity | undefined
  clearPid(role: ProcessRole): void
  /** A folder of its own below the run folder, made when needed. Mode 0711: users whose services run may pass, not look. */
  folder(...names: readonly string[]): string
  socket(role: 'guardian' | 'monitor' | 'commands' | `monitor@${string}`): string
  /** Groups that are to have a monitor of their own, as the daemon last said. */
  readMonitors(boot: BootId): readonly GroupName[]
  writeMonitors(boot: BootId, groups: readonly GroupName[]): void
  /** What agents noted down for this boot, by name. */
  readAttributes(boot: BootId): Readonly<Record<string, string>>
  writeAttributes(boot: BootId, values: Readonly<Record<string, string>>): void
}

/** Where agents note down what is true until the next boot. */
export const agentNotes = 'rsctmp'

export function openRunFolder(path: string): RunFolder {
  const root = makeFolder(resolve(path), 0o711)
  const records = makeFolder(join(root, 'records'))
  const seals = new Seals(makeFolder(join(root, 'seals')))
  const units = new UnitNotes(root)
  const lease = join(root, 'lease')
  const emergency = join(root, 'emergency')
  const detachment = join(root, 'detachment')
  const session = join(root, 'session')
  const emergencyStop = join(root, 'emergency-stop')
  const bootFile = join(root, 'boot')
  const attributes = join(root, 'attributes')
  const monitors = join(root, 'monitors')
  const pid = (role: ProcessRole) => join(root, `${role}.pid`)
  return {
    path: root,
    key: checksum(root),
    beginBoot: (boot) => {
      if (readAs<{ boot: BootId }>(bootFile)?.boot === boot) return
      for (const [group, token] of openTokens(records)) deleteRunRecord(records, group, token)
      units.clear()
      for (const left of ['captured', 'staged']) rmSync(join(root, left), { recursive: true, force: true })
      rmSync(emergency, { force: true })
      rmSync(join(root, agentNotes), { recursive: true, force: true })
      writeChecked(bootFile, { boot })
    },
    openLease: (boot) => new LeaseWriter(lease, boot),
    readDeadline: (boot) => {
      const known = readLease(lease)
      return known?.boot === boot ? known.deadline : bootInstant(0)
    },
    writeRecord: (record) => writeRunRecord(records, record),
    deleteRecord: (group, token) => deleteRunRecord(records, group, token),
    readRecords: () => readRunRecords(records),
    readRecord: (group, token) => readRunRecord(records, group, token),
    openTokens: () => openTokens(records),
    seals,
    units,
    writeEmergency: (marker) => writeChecked(emergency, marker),
    readEmergency: () => readAs<EmergencyMarker>(emergency),
    clearEmergency: () => rmSync(emergency, { force: true }),
    readDetachment: (of) => {
      const known = readAs<Detachment & { boot: BootId }>(detachment)
      return known?.boot === of ? { detached: known.detached, attached: known.attached } : undefined
    },
    writeDetachment: (of, { detached, attached }) => writeChecked(detachment, { boot: of, detached, attached }),
    readEmergencyStop: (boot) => {
      const known = readAs<{ boot: BootId; milliseconds: number }>(emergencyStop)
      return known?.boot === boot && Number.isFinite(known.milliseconds) ? known.milliseconds : undefined
    },
    writeEmergencyStop: (boot, milliseconds) => writeChecked(emergencyStop, { boot, milliseconds }),
    nextSession: (boot) => {
      const known = readAs<{ boot: BootId; count: number }>(session)
      const count = (known?.boot === boot ? known.count : 0) + 1
      writeChecked(session, { boot, count })
      return count
    },
    writePid: (role, identity) => writeChecked(pid(role), identity),
    readPid: (role) => readAs<ProcessIdentity>(pid(role)),
    clearPid: (role) => rmSync(pid(role), { force: true }),
    folder: (...names) => makeFolder(join(root, ...names), 0o711),
    // The path of a socket is short, the name of a group need not be.
    socket: (role) => join(root, `${role.startsWith('monitor@') ? `monitor-${checksum(role)}` : role}.sock`),
    readMonitors: (boot) => {
      const known = readAs<{ boot: BootId; groups: readonly GroupName[] }>(monitors)
      return known?.boot === boot && Array.isArray(known.groups) ? known.groups : []
    },
    writeMonitors: (boot, groups) => writeChecked(monitors, { boot, groups }),
    readAttributes: (of) => {
      const known = readAs<{ boot: BootId; values: Record<string, string> }>(attributes)
      return known?.boot === of ? known.values : {}
    },
    writeAttributes: (of, values) => writeChecked(attributes, { boot: of, values }),
  }
}

function readAs<Value>(path: string): Value | undefined {
  const file = readChecked(path)
  return file.kind === 'read' ? (file.value as Value) : undefined
}
