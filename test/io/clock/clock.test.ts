import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { bootClockGrain } from '../../../src/base/index.js'
import { openClock } from '../../../src/io/clock/index.js'

test('the boot clock reads the uptime in whole milliseconds', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'quorate-clock-'))
  try {
    const file = join(folder, 'uptime')
    await writeFile(file, '12345.67 99.00\n')
    const clock = openClock(file)
    assert.equal(clock.boot() as number, 12_345_670)
    await writeFile(file, '12345.07 99.00\n')
    assert.equal(clock.boot() as number, 12_345_070)
    for (const wrong of ['', '\n', '12 34.56\n', '.12 1.00\n', '1.2 1.00\n', '1.234 1.00\n', '7.5a 1.00\n', '12345.67', 'x1.00 1\n']) {
      await writeFile(file, wrong)
      assert.throws(() => clock.boot(), /begins with seconds and hundredths/, wrong)
    }
    clock.close()
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('the real clocks go forward, and the boot clock is the kernel’s', async () => {
  const clock = openClock()
  const [now, boot] = [clock.now(), clock.boot()]
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0]) * 1_000
  assert.ok(uptime - boot >= -bootClockGrain && uptime - boot < 5_000, `${uptime} against ${boot}`)
  while (clock.boot() === boot) assert.ok(clock.now() - now < 5_000)
  assert.ok(clock.now() > now)
  assert.ok(Number.isInteger(clock.boot()))
  assert.ok(Math.abs(clock.wall() - Date.now()) < 1_000)
  clock.close()
})
