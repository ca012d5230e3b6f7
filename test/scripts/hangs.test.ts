/** Processes of a node that stand still for good: somebody ends them, the next one takes over, and the service never notices. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { waitFor } from '../../scripts/lib/http.js'
import type { Role } from '../../scripts/lib/power.js'
import { type LoopbackLab, raiseLoopback } from './loopback-lab.js'

const patience = 120_000

describe('one that hangs', () => {
  let loopback: LoopbackLab

  before(async () => {
    loopback = await raiseLoopback(60)
    // With leases longer than the time after which a hang is noticed.
    await loopback.api('PATCH', '/v1/settings', { profile: 'slow' })
  })
  after(() => loopback?.close())

  for (const role of ['monitor', 'daemon', 'guardian'] as const satisfies readonly Role[])
    test(`as the ${role} is replaced, and the service runs on under the same grant`, async () => {
      const holder = await loopback.settled()
      const supply = loopback.lab.power.get(holder.node)
      const [hung] = supply?.pidsIn(role) ?? []
      assert.ok(hung !== undefined)
      process.kill(hung, 'SIGSTOP')
      await waitFor('another in its place', patience, async () => {
        const now = supply?.pidsIn(role) ?? []
        return now.length === 1 && now[0] !== hung
      })
      assert.deepEqual(await loopback.settled(), holder)
      assert.equal(loopback.copies().length, 1, 'one copy of the service ran all the time')
    })
})
