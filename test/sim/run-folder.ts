/** What outlives the processes of a machine but not its boot: run records, seals, the lease deadline, the emergency marker. */
import { type BootId, type BootInstant, bootInstant, type GroupName, type Token } from '../../src/base/index.js'
import type { Detachment, EmergencyLeft } from '../../src/core/guardian/index.js'
import type { RunRecord } from '../../src/core/monitor/index.js'

export class SimRunFolder {
  readonly boot: BootId
  /** By group and token, as the files are named. */
  readonly records = new Map<string, RunRecord>()
  readonly seals = new Map<GroupName, Token>()
  deadline: BootInstant = bootInstant(0)
  emergency: EmergencyLeft | undefined
  detachment: Detachment | undefined
  sessions = 0
  /** Groups that are to have a monitor of their own. */
  monitors: readonly GroupName[] = []

  constructor(boot: BootId) {
    this.boot = boot
  }

  /** For one boot the deadline only grows. */
  extendLease(deadline: BootInstant): void {
    this.deadline = bootInstant(Math.max(this.deadline, Math.floor(deadline)))
  }

  seal(group: GroupName, token: Token): void {
    if ((this.seals.get(group) ?? -1) < token) this.seals.set(group, token)
  }

  isSealed(group: GroupName, token: Token): boolean {
    return (this.seals.get(group) ?? -1) >= token
  }

  writeRecord(record: RunRecord): void {
    this.records.set(`${record.group}@${record.token}`, record)
  }

  deleteRecord(group: GroupName, token: Token): void {
    this.records.delete(`${group}@${token}`)
  }

  openTokens(): ReadonlyMap<GroupName, Token> {
    return new Map([...this.records.values()].map((record) => [record.group, record.token]))
  }
}
