/**
 * A process whose first thread has ended while another runs on: in /proc it looks like a zombie, without environment.
 *
 * needs: python3
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isAlive, openContainment, readStat, runMarker, spawnAction, waitUntil } from '../../src/io/processes/index.js'

/** exit(2) itself ends one thread; the C library's function would end all. */
const program = `
import ctypes, platform, threading, time
threading.Thread(target=time.sleep, args=(120,)).start()
ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)
`

let dir: string
before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-threads-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

for (const preference of ['sweep', 'cgroup2', 'freezer'] as const)
  test(`it is alive, is found and killed (${preference})`, async () => {
    const key = `threads${process.pid}`
    const containment = openContainment({ preference, key, node: 'n1' })
    const markers = { QUORATE_GROUP: 'g', QUORATE_RESOURCE: 'app' }
    const cell = containment.cell('g.app', markers)
    const action = spawnAction({
      argv: ['python3', '-c', program],
      environment: { PATH: process.env.PATH ?? '', [runMarker]: key, ...markers, QUORATE_METHOD: 'start' },
      cell,
      part: 'service',
      output: { folder: dir },
      timeout: 60_000,
    })
    const { process: identity } = action
    assert.ok(identity !== undefined)
    try {
      assert.ok(await waitUntil(() => readStat(identity.pid)?.state === 'Z', 20_000), 'its first thread has ended')
      assert.equal(isAlive(identity), true)
      assert.equal(cell.empty(), false)
      assert.equal(await cell.kill(10_000), true)
      assert.equal(isAlive(identity), false)
      assert.equal(cell.empty(), true)
      await action.done
    } finally {
      await cell.kill(10_000)
      cell.remove()
      containment.remove()
    }
  })
