/** Services under another user: they join their cell as root, and drop root before they are the program. */
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { BenchNode, resource } from '../monitor/bench-node.js'

let bench: BenchNode

before(async () => {
  bench = new BenchNode()
  chmodSync(bench.dir, 0o711) // As /run is, so that other users may pass.
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())

test('a service of another user runs as that user, in its cell, and may read its checkpoints', async () => {
  const out = `/tmp/quorate-user-${process.pid}`
  const run = `(id -un; cat $QUORATE_CHECKPOINT_DIR/visits) > ${out}; exec sleep 1000`
  bench.run('g', { app: resource({ type: 'command', parameters: { run, user: 'nobody' } }) }, { checkpoints: { visits: '42' } })
  try {
    await bench.groupIs('g', 'ONLINE')
    await bench.eventually('its word', () => readFileSync(out, 'utf8').endsWith('42'))
    assert.equal(readFileSync(out, 'utf8'), 'nobody\n42')
    const pid = bench.pidOf('g', 'app')
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t65534\t65534\t65534\t65534$/m)
    assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), /g@app\/service/)
    bench.stop('g')
    await bench.groupIs('g', 'STOPPED')
  } finally {
    rmSync(out, { force: true })
  }
})

test('a user that does not exist is a failed start, with the reason', async () => {
  bench.run('h', { app: resource({ type: 'command', parameters: { run: 'exec sleep 1000', user: 'no-such-user' } }) })
  assert.match((await bench.failureOf('h'))?.detail ?? '', /no-such-user/)
})
