/** The program that keeps a session, beside the package's compiled code. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Python with libiscsi or sg_persist: see docs/dependencies.md. */
export const diskProgram = join(rootOf(dirname(fileURLToPath(import.meta.url))), 'agents', 'disks', 'quorate-disk')

/** Where `package.json` is. */
function rootOf(folder: string): string {
  return existsSync(join(folder, 'package.json')) || dirname(folder) === folder ? folder : rootOf(dirname(folder))
}
