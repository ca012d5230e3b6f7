/** Files that the package brings for agents, beside its compiled code. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Of the package: where its `package.json` is. */
const packageRoot = findRoot(dirname(fileURLToPath(import.meta.url)))

/** Commands that agents call to ask their cluster manager. First in their path; nobody else's. */
export const agentCommands = join(packageRoot, 'agents', 'commands')

/** Beginnings of agents, for those who write one. */
export const agentTemplates = join(packageRoot, 'agents', 'templates')

function findRoot(folder: string): string {
  return existsSync(join(folder, 'package.json')) || dirname(folder) === folder ? folder : findRoot(dirname(folder))
}
