/** Checks the layout of this checkout and prints each violation: `node dist/scripts/check-layout.js`. The rules are in layout.ts. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { checkLayout } from './layout.js'

/** The TypeScript files below `root`, by their path from there. */
export function readSources(root: string): ReadonlyMap<string, string> {
  const files = new Map<string, string>()
  for (const top of ['src', 'test', 'scripts', 'jepsen-like'].filter((folder) => existsSync(join(root, folder)))) {
    for (const path of readdirSync(join(root, top), { recursive: true, encoding: 'utf8' })) {
      if (path.endsWith('.ts')) files.set(join(top, path), readFileSync(join(root, top, path), 'utf8'))
    }
  }
  return files
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const violations = checkLayout(readSources(join(import.meta.dirname, '..', '..')))
  for (const { path, line, text } of violations) console.error(`${path}:${line}: ${text}`)
  if (violations.length > 0) {
    console.error(`${violations.length} violations of the layout`)
    process.exitCode = 1
  }
}
