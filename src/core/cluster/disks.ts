/**
 * Shared disks: what they are for, who stands registered on them, and what a `storage` proof is worth.
 *
 * A disk of use `challenge` carries keys and nothing else: a suspect that registers again answers a challenge there. On one of
 * use `storage` groups live: who has no key there can neither read nor write, so that a key that is gone ends the tokens of
 * the groups all of whose resources live on it, and of no others.
 */
import { ClusterError, type DiskName, isName, nearestName } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, checkRevision, refuse } from './context.js'
import type { GroupDefinition } from './definition.js'
import { canonical } from './groups.js'
import { mayStillRun } from './orders.js'
import type { BootRow, CaseRow, DiskDefinition, DiskRow, FenceDevice } from './rows.js'
import type { Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

/** The fence device that is none: it takes a node's key from a shared disk. */
export const storageAgent = 'scsi3'
export const diskTimeoutMin = 100
export const diskTimeoutMax = 60_000
const disksMax = 64

/** Types that act somewhere else than on a disk, whatever the definition says: a node that is cut off from the disk goes on with them. */
const elsewhere: ReadonlySet<string> = new Set([
  'logical-hostname',
  'shared-address',
  ...[
    'IPaddr',
    'IPaddr2',
    'IPv6addr',
    'IPsrcaddr',
    'SendArp',
    'Route',
    'iface-vlan',
    'iface-bridge',
    'iface-macvlan',
    'portblock',
    'nfsnotify',
    'dnsupdate',
    'aws-vpc-move-ip',
    'aws-vpc-route53',
    'awseip',
    'awsvip',
    'azure-lb',
    'gcp-ilb',
    'gcp-vpc-move-ip',
    'gcp-vpc-move-route',
    'gcp-vpc-move-vip',
    'ipsec',
    'Xen',
    'VirtualDomain',
    'ManageVE',
    'lxc',
    'docker',
    'podman',
    'rkt',
  ].map((agent) => `ocf:heartbeat:${agent}`),
])

export function disksOf(reader: Reader): readonly DiskRow[] {
  return reader.derived('disks', 'all', () => [...reader.rows('disks')].map(([, row]) => row))
}

/** The shared disks of a level of fence devices that cuts a node off from storage only; undefined where some device does more. */
export function storageOf(devices: readonly FenceDevice[]): readonly DiskName[] | undefined {
  if (devices.length === 0 || devices.some(({ agent }) => agent !== storageAgent)) return undefined
  return devices.map(({ parameters }) => parameters.disk as DiskName)
}

/** Whether the boot stands registered on the disk, under a reservation, as it last said. */
export function isReadyOn(boot: BootRow | undefined, disk: DiskRow): boolean {
  const told = boot?.disks?.[disk.name]
  return told?.ready === true && told.place === disk.place
}

/** Why a grant to this boot would be no use, or no safe one: without its key its writes are refused, and nothing could be taken from it. */
export function whyNotOnDisk(reader: Reader, { storage }: GroupDefinition, boot: BootRow): string | undefined {
  if (storage === undefined) return undefined
  const disk = reader.get('disks', storage)
  if (disk === undefined) return `there is no shared disk ${storage}`
  if (isReadyOn(boot, disk)) return undefined
  return `its key does not stand on the shared disk ${storage}: ${boot.disks?.[disk.name]?.detail ?? 'the node has not told of it yet'}`
}

/** What is wrong with the `storage` of a group; undefined where nothing is. */
export function checkStorage({ storage, resources }: GroupDefinition, disks: readonly DiskRow[]): ClusterError | undefined {
  if (storage === undefined) return undefined
  const disk = disks.find(({ name }) => name === storage)
  if (disk === undefined) {
    const nearest = nearestName(
      storage,
      disks.map(({ name }) => name),
    )
    return wrong(
      `storage: there is no shared disk "${storage}"`,
      nearest === undefined ? `PUT /v1/disks/${storage} first` : `did you mean "${nearest}"?`,
    )
  }
  if (disk.definition.use !== 'storage')
    return wrong(`storage: the shared disk ${storage} is for challenges`, 'name one whose use is "storage"')
  for (const [name, { type }] of Object.entries(resources))
    if (elsewhere.has(type))
      return wrong(
        `storage: resource "${name}" (${type}) does not live on ${storage}: a node that is cut off from the disk goes on with it`,
        'leave out "storage", or put the resource into a group of its own',
      )
  return undefined
}

function wrong(detail: string, fix: string): ClusterError {
  return new ClusterError('INVALID_DEFINITION', detail, { fix })
}

/** What is wrong with fence devices that are shared disks; undefined where nothing is. */
export function checkStorageDevices(reader: Reader, levels: readonly (readonly FenceDevice[])[]): ClusterError | undefined {
  for (const { agent, parameters, timeout } of levels.flat()) {
    if (agent !== storageAgent) continue
    const { disk = '', ...more } = parameters
    const extra = Object.keys(more)[0]
    if (extra !== undefined) return wrong(`${storageAgent} has no parameter "${extra}"`, 'give it "disk", and nothing else')
    const row = reader.get('disks', disk)
    if (row !== undefined && timeout < 2 * row.definition.timeout)
      return wrong(
        `${storageAgent}: a timeout of ${timeout} ms is no time for the requests to ${disk}, of ${row.definition.timeout} ms each`,
        `give it ${10 * row.definition.timeout} ms`,
      )
    if (row?.definition.use !== 'storage')
      return wrong(
        `${storageAgent}: there is no shared disk "${disk}" of use storage`,
        'PUT /v1/disks/{disk} first, then name it: {"agent":"scsi3","parameters":{"disk":"…"}}',
      )
  }
  return undefined
}

export function putDisk(context: Context, command: CommandOf<'put-disk'>): Value {
  const found = context.draft.get('disks', command.disk)
  checkRevision(found?.revision, command.precondition, `disk ${command.disk}`)
  checkDisk(command.disk, command.definition)
  const { definition } = command
  if (found !== undefined && canonical(found.definition) === canonical(definition)) return { revision: found.revision, unchanged: true }
  const others = disksOf(context.draft).filter(({ name }) => name !== command.disk)
  if (others.length >= disksMax) refuse('CONFLICT', `there are ${disksMax} shared disks already`, { fix: 'delete one' })
  const challenge = others.find((other) => other.definition.use === 'challenge')
  if (definition.use === 'challenge' && challenge !== undefined)
    refuse('CONFLICT', `the shared disk ${challenge.name} is for challenges already`, { fix: 'one is enough: change that one' })
  const isSamePlace = found !== undefined && canonical({ ...found.definition, timeout: 0 }) === canonical({ ...definition, timeout: 0 })
  if (found !== undefined && !isSamePlace) refuseUsed(context, command.disk, 'is changed')
  // Another place is another disk: nobody stands on it yet.
  const place = isSamePlace ? found.place : context.index
  context.draft.put('disks', command.disk, { name: command.disk, definition, place, revision: context.index })
  context.event('disk.changed', command.disk, `shared disk ${command.disk} was ${found === undefined ? 'added' : 'changed'}`, {
    use: definition.use,
  })
  return { revision: context.index, created: found === undefined }
}

function checkDisk(name: DiskName, { use, iscsi, device, timeout }: DiskDefinition): void {
  if (!isName(name)) refuse('INVALID_NAME', `"${name.slice(0, 80)}" cannot name a shared disk`, { fix: 'use letters, digits and dashes' })
  const bad = (detail: string, fix: string) => refuse('INVALID_DEFINITION', `shared disk ${name}: ${detail}`, { fix })
  if (use !== 'challenge' && use !== 'storage') bad(`its use is "${use}"`, 'use "challenge" or "storage"')
  if ((iscsi === undefined) === (device === undefined)) bad('it has no place, or two', 'give it either "iscsi" or "device"')
  if (iscsi !== undefined && !/^iscsi:\/\/(\[[0-9a-fA-F:]+\]|[^/:@%\s]+)(:\d{1,5})?\/[^/\s]+\/\d{1,5}$/.test(iscsi.url))
    bad(`"${iscsi.url.slice(0, 200)}" names no LUN`, 'write iscsi://HOST[:PORT]/TARGET/LUN; a user goes to "user" and "password"')
  if (device !== undefined && !/^\/dev\/[^\s]{1,300}$/.test(device))
    bad(`"${device.slice(0, 200)}" is no device`, 'write its whole path, such as /dev/disk/by-id/…')
  if (!Number.isSafeInteger(timeout) || timeout < diskTimeoutMin || timeout > diskTimeoutMax)
    bad(`its timeout is ${timeout} ms`, 'stay between 100ms and 1m')
}

export function deleteDisk(context: Context, command: CommandOf<'delete-disk'>): Value {
  const found = diskRow(context, command.disk)
  checkRevision(found.revision, command.precondition, `disk ${command.disk}`)
  refuseUsed(context, command.disk, 'is deleted')
  context.draft.delete('disks', command.disk)
  for (const [, boot] of [...context.draft.rows('boots')]) {
    if (boot.disks?.[command.disk] === undefined) continue
    const { [command.disk]: _gone, ...disks } = boot.disks
    context.putBoot({ ...boot, disks })
  }
  context.event('disk.deleted', command.disk, `shared disk ${command.disk} was deleted`)
  return {}
}

/** Errors: DISK_NOT_FOUND. */
function diskRow(context: Context, name: string): DiskRow {
  return (
    context.draft.get('disks', name) ?? refuse('DISK_NOT_FOUND', `there is no shared disk "${name}"`, { fix: 'GET /v1/disks lists them' })
  )
}

/** What relies on the disk as it is. */
function refuseUsed(context: Context, name: DiskName, what: string): void {
  const group = context.groups().find((one) => one.definition.storage === name || (mayStillRun(one) && one.holder.pinned.storage === name))
  if (group !== undefined)
    refuse('CONFLICT', `group ${group.name} lives on the shared disk ${name}`, {
      fix: `take "storage" out of the group, and have it stopped and started, before the disk ${what}`,
    })
  const node = [...context.draft.rows('nodes')].find(([, row]) =>
    row.fencing.levels.flat().some(({ agent, parameters }) => agent === storageAgent && parameters.disk === name),
  )
  if (node !== undefined)
    refuse('CONFLICT', `${node[0]} is fenced by the shared disk ${name}`, {
      fix: `change the fencing of ${node[0]} before the disk ${what}`,
    })
}

/** A node tells whether its key stands on the disk. */
export function diskState(context: Context, command: CommandOf<'disk-state'>): Value {
  const boot = context.boot(command.node, command.boot)
  if (boot === undefined || context.currentBoot(command.node)?.boot !== command.boot)
    refuse('CONFLICT', `${command.node} has no present boot ${command.boot}`)
  const disk = diskRow(context, command.disk)
  if (disk.place !== command.place) return { ignored: 'the disk has been changed since' }
  // Who is being cut off says nothing that another proof would rest on.
  if (command.ready && boot.state !== 'live') refuse('CONFLICT', `boot ${boot.boot} of ${boot.node} is ${boot.state}`)
  const before = boot.disks?.[disk.name]
  const { ready, place } = command
  const detail = command.detail.slice(0, 300)
  if (before?.ready === ready && before.place === place && before.detail === detail) return { ignored: 'known' }
  context.putBoot({ ...boot, disks: { ...boot.disks, [disk.name]: { ready, place, detail, at: context.at } } })
  if ((before?.ready === true && before.place === place) !== ready)
    context.event(
      ready ? 'disk.ready' : 'disk.lost',
      disk.name,
      ready ? `the key of ${boot.node} stands on ${disk.name}` : `the key of ${boot.node} does not stand on ${disk.name}: ${detail}`,
      { node: boot.node, boot: boot.boot },
    )
  return {}
}

/** The arbiter saw the suspect's key again after it had taken it away: somebody lives there. It only puts off what comes next. */
export function diskAnswer(context: Context, command: CommandOf<'disk-answer'>): Value {
  const row = context.case(command.caseId)
  if (row.stage !== 'CHALLENGE') refuse('CONFLICT', `case ${row.id} is past its challenge: ${row.stage}`)
  if (row.arbiter !== command.arbiter || row.nonce !== command.nonce) refuse('CONFLICT', `this is not the challenge of case ${row.id}`)
  if (row.diskAnswer !== undefined) return { ignored: 'known' }
  const detail = `${row.node} has registered its key again on the shared disk ${command.disk}: nothing further before its lease has run out`
  context.putCase({
    ...row,
    diskAnswer: { at: context.at, disk: command.disk },
    timeline: [...row.timeline, { stage: 'DISK ANSWER', at: context.at, wall: context.wall, detail }],
  })
  context.event('case.disk-answer', row.node, detail, { case: row.id, disk: command.disk })
  return {}
}

/** Groups that this boot holds and of which nothing goes on once it is cut off from these disks: as they were granted, not as they are defined now. */
export function heldOn(context: Context, row: CaseRow, disks: readonly DiskName[]) {
  return context.groups().flatMap((group) => {
    if (!mayStillRun(group) || group.holder.node !== row.node || group.holder.boot !== row.boot) return []
    const { pinned } = group.holder
    const lives = pinned.storage !== undefined && disks.includes(pinned.storage)
    return lives && checkStorage(pinned, disksOf(context.draft)) === undefined ? [group] : []
  })
}
