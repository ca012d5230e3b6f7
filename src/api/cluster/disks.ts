/** Shared disks between the form that people write and the one that the log carries. */
import { ClusterError, formatDuration, parseDuration } from '../../base/index.js'
import type { DiskDefinition } from '../../core/cluster/index.js'
import { hidden } from './fencing.js'

const timeoutUsual = 1_000

export interface WrittenDisk {
  readonly use: DiskDefinition['use']
  readonly iscsi?: string
  readonly user?: string
  readonly password?: string
  readonly device?: string
  readonly timeout?: string | number
}

/** `known` is what there is now. What it means is checked by the state machine. Errors: INVALID. */
export function readDisk(written: WrittenDisk, known: DiskDefinition | undefined, seal: (text: string) => string): DiskDefinition {
  const { use, iscsi, user, device } = written
  const timeout = parseDuration(written.timeout ?? timeoutUsual)
  if (iscsi === undefined && (user !== undefined || written.password !== undefined))
    throw new ClusterError('INVALID', 'a user or a password without "iscsi"', { fix: 'leave them out for a device' })
  const password = written.password === hidden ? known?.iscsi?.password : written.password
  if (written.password === hidden && password === undefined)
    throw new ClusterError('INVALID', 'the password is hidden, and none is known', { fix: 'write it out' })
  const login = { ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password: seal(password) }) }
  return {
    use,
    ...(iscsi === undefined ? {} : { iscsi: { url: iscsi, ...login } }),
    ...(device === undefined ? {} : { device }),
    timeout,
  }
}

export function writtenDisk({ use, iscsi, device, timeout }: DiskDefinition): Record<string, unknown> {
  return {
    use,
    ...(iscsi === undefined ? {} : { iscsi: iscsi.url }),
    ...(iscsi?.user === undefined ? {} : { user: iscsi.user }),
    ...(iscsi?.password === undefined ? {} : { password: hidden }),
    ...(device === undefined ? {} : { device }),
    timeout: formatDuration(timeout),
  }
}
