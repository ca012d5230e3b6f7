/** Files that came open from whoever started this process. */
import { closeSync, readdirSync, readlinkSync } from 'node:fs'

/**
 * Closes what is open below the folder. A database that is native code has its files open for children too: a guardian that a
 * daemon starts would keep them, hand them on to the next daemon, the monitor and all services, and so for ever.
 */
export function closeInherited(folder: string): void {
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`).startsWith(`${folder}/`)) closeSync(Number(name))
    } catch {
      // That of this listing itself.
    }
  }
}
