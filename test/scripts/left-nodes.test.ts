/** A laboratory whose own process was killed leaves its nodes running; the next one ends them and finds their ports free. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { waitFor } from '../../scripts/lib/http.js'
import { endNodes, freePort } from '../../scripts/lib/lab.js'
import { Power } from '../../scripts/lib/power.js'

test('nodes that were left behind are ended, and their ports are free again', async () => {
  const home = mkdtempSync(join(tmpdir(), 'quorate-left-'))
  const run = join(home, 'run')
  const port = await freePort(['127.0.0.1'], 21_000)
  const taken = async () => (await freePort(['127.0.0.1'], port)) !== port
  try {
    const listen = `require('node:net').createServer().listen(${port}, '127.0.0.1')`
    const argv = [process.execPath, '-e', listen]
    // Nobody keeps this one: whoever comes later has only the folders.
    await new Power({ node: 'n1', home: join(home, 'n1'), runDir: join(run, 'n1'), argv }).on()
    await waitFor('the node to listen', 60_000, taken)
    await endNodes({ home, run }, ['n1', 'n2'])
    assert.equal(await taken(), false)
    // The run folder may be gone too.
    await new Power({ node: 'n1', home: join(home, 'n1'), runDir: join(run, 'n1'), argv }).on()
    await waitFor('the node to listen', 60_000, taken)
    rmSync(run, { recursive: true })
    await endNodes({ home, run }, ['n1', 'n2'])
    assert.equal(await taken(), false)
  } finally {
    await endNodes({ home, run }, ['n1'])
    rmSync(home, { recursive: true, force: true })
  }
})
