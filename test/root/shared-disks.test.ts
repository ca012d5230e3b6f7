/**
 * Shared disks with a real iSCSI target under a whole cluster: a challenge that is answered there and one that is not, a node that
 * is cut off from its storage while its service writes on, and a target that cannot be reached.
 *
 * needs: tgt libiscsi7 python3
 */
import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { waitFor } from '../../scripts/lib/http.js'
import type { Power } from '../../scripts/lib/power.js'
import { startTarget, type Target, TargetCable } from '../../scripts/lib/target.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const patience = 90_000

interface Case {
  readonly id: string
  readonly node: string
  readonly stage: string
  readonly proof: { readonly kind: string } | null
  readonly attempts: readonly { readonly action: string; readonly state: string; readonly detail: string }[]
  readonly timeline: readonly { readonly stage: string }[]
}

interface Write {
  readonly node: string
  readonly began: number
  readonly ended: number
  readonly said: string
}

describe('shared disks', () => {
  let loopback: LoopbackLab
  let target: Target
  let cable: TargetCable
  let folder: string
  const powerOf = (node: string): Power => loopback.lab.power.get(node) as Power

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'quorate-shared-'))
    target = await startTarget(2)
    cable = await TargetCable.open(target)
    loopback = await raiseLoopback(70)
    await set('DELETE', '/v1/groups/web')
    await set('PUT', '/v1/disks/d1', { use: 'storage', iscsi: cable.url(1) })
    for (const node of names)
      await set('PATCH', `/v1/nodes/${node}`, {
        fencing: { levels: [[{ agent: 'scsi3', parameters: { disk: 'd1' }, timeout: '10s' }]], then: 'on' },
      })
    await allReady('d1')
    await set('PUT', '/v1/groups/data', {
      nodes: [...names],
      storage: 'd1',
      resources: { writer: { type: 'command', parameters: writer() } },
    })
    await running()
  })
  after(async () => {
    await loopback?.close()
    await cable?.close()
    await target?.close()
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })

  /** Stands still, and would be waited for. */
  let silent: string | undefined
  const ask = (method: string, path: string, body?: unknown) => loopback.api(method, path, body, silent === 'n1' ? 'n2' : undefined)

  const journal = (): string => join(folder, 'writes.jsonl')
  /** A service that writes by a session of its own, and goes on trying whatever it is told. */
  function writer() {
    const program = [join(root, 'test/root/initiator.py'), join(root, 'agents/disks/quorate-disk')]
    // The socket of its node is not known here: any node that is itself says which one it is.
    const api = names.map((name) => `${name}) api=${loopback.lab.url(name)};;`).join(' ')
    const run = `case $QUORATE_NODE in ${api} esac; exec /usr/bin/python3 ${program.join(' ')} ${target.url(1)} iqn.2026-01.test.quorate:service ${journal()} $api d1`
    return { run }
  }

  async function set(method: string, path: string, body?: unknown): Promise<void> {
    await waitFor(`${method} ${path}`, patience, async () => {
      const { status, body: said } = await ask(method, path, body)
      if (said.code === 'MIXED_VERSIONS' || status === 0 || status === 503) return false
      assert.ok(status >= 200 && status < 300, `${method} ${path}: ${JSON.stringify(said)}`)
      return true
    })
  }

  const disk = async (name: string) =>
    (await ask('GET', `/v1/disks/${name}`)).body as { nodes?: Readonly<Record<string, { ready: boolean }>> }

  const allReady = (name: string): Promise<void> =>
    waitFor(`every key on ${name}`, patience, async () => {
      const { nodes = {} } = await disk(name)
      return names.every((node) => nodes[node]?.ready === true)
    })

  const holder = async (): Promise<string | undefined> => {
    const { body } = await ask('GET', '/v1/groups/data')
    return body.state === 'ONLINE' ? (body.holders as readonly { node: string }[])[0]?.node : undefined
  }

  async function running(): Promise<string> {
    const since = Date.now() / 1_000
    await waitFor('the service to write', patience, async () => {
      const node = await holder()
      return node !== undefined && writes().some((one) => one.node === node && one.began > since && one.said === 'good')
    })
    return (await holder()) as string
  }

  const writes = (): readonly Write[] =>
    existsSync(journal())
      ? readFileSync(journal(), 'utf8')
          .split('\n')
          .filter((line) => line.endsWith('}'))
          .map((line) => JSON.parse(line) as Write)
      : []

  const lastCase = async (node: string): Promise<Case | undefined> => {
    const found = ((await ask('GET', '/v1/cases')).body.cases as readonly Case[] | undefined)?.filter((one) => one.node === node)
    const last = found?.at(-1)
    return last === undefined ? undefined : ((await ask('GET', `/v1/cases/${last.id}`)).body as unknown as Case)
  }

  const attention = async (): Promise<readonly string[]> =>
    ((await ask('GET', '/v1/status')).body.attention as readonly { code: string; subject: string }[]).map(
      ({ code, subject }) => `${code} ${subject}`,
    )

  async function allBack(): Promise<void> {
    await waitFor('all nodes', patience, async () => {
      const { body } = await ask('GET', '/v1/status')
      const nodes = (body.nodes ?? []) as readonly { state: string }[]
      return nodes.length === names.length && nodes.every(({ state }) => state === 'ONLINE')
    })
    await allReady('d1')
    await running()
  }

  test('every node can take every other one’s key, and says so', async () => {
    for (const node of names) {
      const { status, body } = await ask('POST', `/v1/nodes/${node}/fencing/test?timeout=30s`)
      assert.equal(status, 200, JSON.stringify(body))
      assert.equal(body.healthy, true, JSON.stringify(body))
    }
    const protection = (await ask('GET', '/v1/protection')).body.groups as readonly { group: string; protected: boolean }[]
    assert.deepEqual(
      protection.map(({ group, protected: is }) => [group, is]),
      [['data', true]],
    )
  })

  test('a node that stands still is cut off while its service writes on: refused from then on, and the group goes on elsewhere', async () => {
    const lost = await running()
    const power = powerOf(lost)
    silent = lost
    const stopped = (['guardian', 'monitor', 'daemon'] as const).flatMap((role) => power.pidsIn(role))
    for (const pid of stopped) process.kill(pid, 'SIGSTOP')
    try {
      await waitFor('the service at another node', patience, async () => {
        const node = await holder()
        return node !== undefined && node !== lost && writes().some((one) => one.node === node && one.said === 'good')
      })
      const of = await lastCase(lost)
      const told = JSON.stringify(of)
      assert.equal(of?.proof?.kind, 'storage', told)
      assert.ok(
        of?.attempts.some(({ detail }) => /scsi3 off: confirmed.*scsi3 status: off/.test(detail)),
        told,
      )
      await waitFor('the old service to be refused', patience, async () =>
        writes().some((one) => one.node === lost && one.said === 'conflict'),
      )
      const all = writes()
      const first = Math.min(...all.filter((one) => one.node !== lost && one.said === 'good').map(({ began }) => began))
      await waitFor('it to go on trying', patience, async () => writes().some((one) => one.node === lost && one.began > first))
      const late = writes().filter((one) => one.node === lost && one.said === 'good' && one.ended > first)
      assert.deepEqual(late, [], `no write of the old holder is taken once the new one writes (${first})`)
      await waitFor('the attention', patience, async () => (await attention()).includes(`STORAGE_FENCED ${lost}`))
    } finally {
      // Whatever was found, the tests that follow want three nodes.
      for (const pid of stopped) process.kill(pid, 'SIGCONT')
      silent = undefined
    }
    await waitFor('it to stop what it ran', patience, async () => power.pidsOf('initiator.py').length === 0)
    const { body } = await ask('GET', `/v1/nodes/${lost}`)
    assert.notEqual(body.state, 'ONLINE', 'the boot that was cut off is not taken in again')
    await power.off()
    await power.on()
    await allBack()
  })

  test('a target that cannot be reached: the holder ends what lives there, nothing starts, and all goes on once it is back', async () => {
    await running()
    cable.set('cut')
    await waitFor('the attention', patience, async () => (await attention()).includes('DISK_LOST d1'))
    await waitFor('the holder to have stopped', patience, async () =>
      names.every((node) => powerOf(node).pidsOf('initiator.py').length === 0),
    )
    assert.equal(await holder(), undefined)
    const { body } = await ask('POST', `/v1/nodes/n1/fencing/test?timeout=30s`)
    assert.equal(body.healthy, false)
    cable.set('whole')
    await allBack()
  })

  test('a target that is slow is slow, and no more', async () => {
    cable.delay = 150
    const { body } = await ask('POST', `/v1/nodes/n1/fencing/test?timeout=30s`)
    assert.equal(body.healthy, true, JSON.stringify(body))
    cable.delay = 0
    await allBack()
  })

  test('a challenge is answered on a disk of its own by a node that only the network has lost', async () => {
    await set('PUT', '/v1/disks/q', { use: 'challenge', iscsi: target.url(2), timeout: '1s' })
    await allReady('q')
    const holds = await running()
    const suspect = names.find((name) => name !== holds) as string
    const known = (await lastCase(suspect))?.id
    const answered = async (): Promise<Case | undefined> => {
      const of = await lastCase(suspect)
      return of !== undefined && of.id !== known && of.timeline.some(({ stage }) => stage === 'DISK ANSWER') ? of : undefined
    }
    await loopback.cut(suspect)
    await waitFor('an answer on the disk', patience, async () => (await answered()) !== undefined).finally(() => loopback.heal(suspect))
    const of = await answered()
    assert.equal(of?.attempts.length, 0, 'nobody was called before its lease was over')
    await allBack()
  })

  test('and is not answered by one that stands still: it is condemned in the usual time', async () => {
    await allReady('q')
    const holds = await running()
    const known = (await lastCase(holds))?.id
    silent = holds
    powerOf(holds).pause()
    await waitFor('its case to be proved', patience, async () => {
      const of = await lastCase(holds)
      return of !== undefined && of.id !== known && of.proof !== null
    })
    const of = await lastCase(holds)
    assert.ok(
      of?.timeline.every(({ stage }) => stage !== 'DISK ANSWER'),
      JSON.stringify(of?.timeline),
    )
    assert.equal(of?.proof?.kind, 'storage')
    silent = undefined
    powerOf(holds).resume()
    await powerOf(holds).off()
    await powerOf(holds).on()
    await allBack()
  })
})
