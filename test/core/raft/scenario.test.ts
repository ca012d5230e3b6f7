/**
 * Plays each script in `scenarios/` and compares what happened with what the script says.
 *
 * With QUORATE_REGENERATE=1 the scripts are rewritten with what happened; read the difference before you keep it.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { playScenario, scenarioFolder } from './scenario.js'

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
