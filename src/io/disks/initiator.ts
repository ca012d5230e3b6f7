/** Who this machine is to iSCSI targets. */
import { readFileSync } from 'node:fs'

const path = '/etc/iscsi/initiatorname.iscsi'

/** As open-iscsi keeps it; undefined where it is not installed. */
export function readInitiatorName(): string | undefined {
  try {
    return /^InitiatorName=(\S{1,223})\s*$/m.exec(readFileSync(path, 'utf8'))?.[1]
  } catch {
    return undefined
  }
}
