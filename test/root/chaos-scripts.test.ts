/**
 * The chaos scripts that need root on a node's host, each in a network of its own or on a disk of its own.
 *
 * needs: iproute2 nftables
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { waitFor } from '../../scripts/lib/http.js'
import { projectRoot } from '../../scripts/lib/lab.js'
import { makeNetwork, type Network } from '../../scripts/lib/netns.js'

const folder = join(projectRoot, 'scripts/chaos')

function run(script: string, ...args: readonly string[]): { readonly out: string } {
  return { out: execFileSync(join(folder, script), args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }) }
}

describe('between two hosts', () => {
  const tag = `x${process.pid % 1_000_000}`
  let network: Network
  let echo: ReturnType<typeof spawn>
  const here = ['--on', `nsenter --net=/run/netns/quorate-${tag}-%s -- sh -c`]

  before(async () => {
    network = await makeNetwork(tag, [
      { name: 'a', address: '10.86.0.1' },
      { name: 'b', address: '10.86.0.2' },
    ])
    const program = `require('node:dgram').createSocket('udp4').on('message', function (packet, from) { this.send(packet, from.port, from.address) }).bind(7400, () => console.log('up'))`
    const [command, ...rest] = [...network.prefix('b'), process.execPath, '-e', program]
    echo = spawn(command as string, rest, { stdio: ['ignore', 'pipe', 'ignore'] })
    await new Promise((resolve) => echo.stdout?.once('data', resolve))
  })
  after(async () => {
    echo?.kill('SIGKILL')
    await network?.close()
  })

  /** How many of so many datagrams from a come back from b's port. */
  function answered(count: number, port = 7_400): number {
    const program = `const socket = require('node:dgram').createSocket('udp4'); let came = 0; socket.on('message', () => came++)
      for (let at = 0; at < ${count}; at++) setTimeout(() => socket.send('x', ${port}, '10.86.0.2'), at)
      setTimeout(() => { console.log(came); process.exit() }, ${count} + 300)`
    const [command, ...rest] = [...network.prefix('a'), process.execPath, '-e', program]
    return Number(execFileSync(command as string, rest, { encoding: 'utf8' }))
  }

  test('cut-link: silence in the direction asked for, and an end of it by itself or at once', async () => {
    assert.equal(answered(20), 20)
    for (const direction of ['both', 'in', 'out']) {
      assert.match(run('cut-link', 'b', '--direction', direction, ...here).out, new RegExp(`^b: cut off \\(${direction}\\) for 60 s`))
      assert.equal(answered(20), 0, direction)
      run('cut-link', 'b', '--undo', ...here)
      assert.equal(answered(20), 20, `${direction}, undone`)
    }
    run('cut-link', 'b', '--peer', '10.86.0.9', ...here)
    assert.equal(answered(20), 20, 'another peer was meant')
    run('cut-link', 'b', '--peer', '10.86.0.9,fe80::9,10.86.0.1', '--for', '10', ...here)
    assert.equal(answered(20), 0)
    await waitFor('it to end by itself', 30_000, async () => answered(5) === 5)
  })

  test('lose-packets: a share is lost, and none afterwards', () => {
    run('lose-packets', 'b', '--percent', '50', ...here)
    const came = answered(400)
    assert.ok(came > 100 && came < 300, `${came} of 400`)
    run('lose-packets', 'b', '--undo', ...here)
    assert.equal(answered(50), 50)
    run('lose-packets', 'b', '--percent', '100', '--peer', '10.86.0.9,fe80::9', ...here)
    assert.equal(answered(20), 20, 'other peers were meant')
    run('lose-packets', 'b', '--percent', '100', '--peer', '10.86.0.9,10.86.0.1', ...here)
    assert.equal(answered(20), 0)
    run('lose-packets', 'b', '--undo', ...here)
  })
})

describe('on a disk of its own', () => {
  const disk = mkdtempSync(join(tmpdir(), 'quorate-disk-'))
  before(() => void execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]))
  after(() => {
    execFileSync('umount', [disk])
    rmSync(disk, { recursive: true })
  })

  test('fill-disk: nothing can be written any more but what was left, and all again after --undo', () => {
    const write = (size: number): void => writeFileSync(join(disk, 'data'), Buffer.alloc(size))
    run('fill-disk', 'n1', '--data', disk, '--on', 'sh -c')
    assert.throws(() => write(1024 * 1024), { code: 'ENOSPC' })
    run('fill-disk', 'n1', '--undo', '--data', disk, '--on', 'sh -c')
    rmSync(join(disk, 'data'), { force: true })
    assert.deepEqual(readdirSync(disk), [])
    run('fill-disk', 'n1', '--leave', '4', '--data', disk, '--on', 'sh -c')
    write(3 * 1024 * 1024)
    assert.throws(() => write(6 * 1024 * 1024), { code: 'ENOSPC' })
    run('fill-disk', 'n1', '--undo', '--data', disk, '--on', 'sh -c')
  })
})
