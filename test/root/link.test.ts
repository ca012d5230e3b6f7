/** The check of a network device on a cable that is pulled. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { after, before, test } from 'node:test'
import { look } from '../../src/io/agents/looks.js'
import { waitUntil } from '../../src/io/processes/index.js'

const here = `ql${process.pid % 100_000}a`
const there = `ql${process.pid % 100_000}b`
const ip = (...args: string[]) => execFileSync('ip', args)

before(() => ip('link', 'add', here, 'type', 'veth', 'peer', 'name', there))
after(() => ip('link', 'del', here))

const says = async (what: RegExp | undefined) => {
  let answer: string | undefined
  for (let tries = 0; tries < 100; tries++) {
    answer = await look('link', { device: here })
    if (what === undefined ? answer === undefined : what.test(answer ?? '')) return
    await waitUntil(() => false, 20) // The kernel tells of a carrier a moment later.
  }
  assert.fail(`${here}: ${answer ?? 'all is well'}`)
}

test('down, without carrier, with it', async () => {
  await says(/is down$/)
  ip('link', 'set', here, 'up')
  await says(/up without carrier$/)
  ip('link', 'set', there, 'up')
  await says(undefined)
})
