/**
 * Units of systemd as resources, on a machine whose first process is systemd: a container with the files of this one.
 *
 * What is tested there is in `systemd-machine/`.
 *
 * needs: systemd-container dbus
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { projectRoot } from '../../scripts/lib/lab.js'
import { bootSystemdMachine, type SystemdMachine } from '../../scripts/lib/systemd-machine.js'

let folder: string
let machine: SystemdMachine | undefined

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'quorate-systemd-'))
  mkdirSync(join(folder, 'shared'))
  machine = await bootSystemdMachine({ tag: 'units', folder: join(folder, 'machine'), shared: [projectRoot, join(folder, 'shared')] })
})
after(async () => {
  await machine?.close()
  rmSync(folder, { recursive: true, force: true })
})

for (const what of ['api', 'monitor', 'guardian', 'shutdown'])
  test(`the tests of the ${what} on that machine`, async (t) => {
    const file = fileURLToPath(new URL(`./systemd-machine/${what}.js`, import.meta.url))
    const [program = '', ...rest] = [...(machine?.prefix ?? []), process.execPath, '--test', '--test-reporter=tap', file]
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const child = spawn(program, rest, {
      env: { ...env, TMPDIR: join(folder, 'shared'), HOME: '/root' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let said = ''
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (said += text))
    const status = await new Promise((resolve) => child.once('close', resolve))
    for (const [, name] of said.matchAll(/^ *ok \d+ - (.*)$/gm)) t.diagnostic(`there: ${name}`)
    assert.equal(status, 0, said)
    assert.match(said, /^# skipped 0$/m)
    assert.doesNotMatch(said, /^# pass 0$/m)
  })
