/**
 * Plays each script in `scenarios/` and compares what happened with what the script says.
 *
 * With QUORATE_REGENERATE=1 the scripts are rewritten with what happened; read the difference before you keep it.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { playScenario } from './scenario.js'

/** The scripts are not compiled: they stand in the sources. */
function scenarioFolder(): string {
  let root = import.meta.dirname
  while (!existsSync(join(root, 'package.json'))) root = dirname(root)
  return join(root, 'test', 'core', 'raft', 'scenarios')
}

const folder = scenarioFolder()
for (const name of readdirSync(folder).filter((file) => file.endsWith('.txt'))) {
  test(name.replace('.txt', '').replaceAll('-', ' '), () => {
    const path = join(folder, name)
    const script = readFileSync(path, 'utf8')
    const played = playScenario(script)
    if (process.env.QUORATE_REGENERATE === '1') writeFileSync(path, played)
    else assert.equal(played, script)
  })
}
