/**
 * The driver of shared disks against a real iSCSI target: keys, reservations, and every way in which a session can end.
 *
 * needs: tgt libiscsi7 python3
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, afterEach, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { waitFor } from '../../scripts/lib/http.js'
import { startTarget, type Target, TargetCable } from '../../scripts/lib/target.js'
import type { DiskName } from '../../src/base/index.js'
import { type DiskAnswer, type DiskRequest, exclusiveAccess } from '../../src/core/disks/index.js'
import { type Disks, openDisks } from '../../src/io/disks/index.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const disk = 'd1' as DiskName
const [a, b] = ['00000000000000a1', '00000000000000b2'] as [string, string]
const patience = 20_000

/** One node's driver. */
class Node {
  readonly disks: Disks
  private readonly name: string
  private readonly waiting = new Map<string, (answer: DiskAnswer) => void>()
  private count = 0

  constructor(name: string, folder: string, url: string) {
    this.name = name
    this.disks = openDisks(
      { folder, initiator: `iqn.2026-01.test.quorate:${name}` },
      { onAnswer: (answer) => this.waiting.get(answer.id)?.(answer), onTrouble: (text) => assert.fail(text) },
    )
    this.disks.want([{ name: disk, place: { kind: 'iscsi', url } }])
  }

  ask(request: DiskRequest, timeout = 5_000): Promise<DiskAnswer> {
    const id = `${this.name}-${++this.count}`
    return new Promise((resolve) => {
      this.waiting.set(id, resolve)
      this.disks.send({ disk, id, request, timeout })
    })
  }

  async good(request: DiskRequest): Promise<DiskAnswer> {
    const answer = await this.ask(request)
    assert.equal(answer.status, 'good', `${request.do}: ${answer.detail}`)
    return answer
  }

  async keys(key = a): Promise<readonly string[]> {
    return (await this.good({ do: 'keys', key })).keys ?? []
  }
}

/** Something that writes by a session of its own. */
class Writer {
  private readonly child: ChildProcess
  private readonly lines: AsyncIterator<string>

  private constructor(child: ChildProcess) {
    this.child = child
    this.lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })[Symbol.asyncIterator]()
  }

  static async open(url: string): Promise<Writer> {
    const words = [join(root, 'test/root/initiator.py'), join(root, 'agents/disks/quorate-disk'), url, 'iqn.2026-01.test.quorate:writer']
    const writer = new Writer(spawn('/usr/bin/python3', words, { stdio: ['pipe', 'pipe', 'inherit'] }))
    assert.equal(await writer.line(), 'ready')
    return writer
  }

  say(text: string): Promise<string> {
    this.child.stdin?.write(`${text}\n`)
    return this.line()
  }

  private async line(): Promise<string> {
    return (await this.lines.next()).value as string
  }

  close(): void {
    this.child.stdin?.end()
  }
}

describe('a session with a LUN', () => {
  let target: Target
  let cable: TargetCable
  let folder: string
  const nodes: Node[] = []
  const writers: Writer[] = []
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'quorate-disks-'))
    target = await startTarget(6)
    cable = await TargetCable.open(target)
  })
  afterEach(() => {
    cable.set('whole')
    cable.delay = 0
    for (const node of nodes.splice(0)) node.disks.want([])
    for (const writer of writers.splice(0)) writer.close()
  })
  after(async () => {
    await cable?.close()
    await target?.close()
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })
  const open = (name: string, url: string): Node => {
    const node = new Node(name, folder, url)
    nodes.push(node)
    return node
  }
  const writer = async (url: string): Promise<Writer> => {
    const opened = await Writer.open(url)
    writers.push(opened)
    return opened
  }

  test('a key is registered, reserved with, taken away by another, and its owner’s writes are refused from then on', async () => {
    const [n1, n2] = [open('n1', target.url(1)), open('n2', target.url(1))]
    const service = await writer(target.url(1))
    assert.equal(await service.say('write 1'), 'good', 'nothing is reserved yet')
    await n1.good({ do: 'register', key: a })
    await n2.good({ do: 'register', key: b })
    assert.equal(await service.say(`register ${a}`), 'good')
    await n1.good({ do: 'reserve', key: a, type: exclusiveAccess })
    assert.equal((await n2.good({ do: 'reservation' })).reservation?.type, exclusiveAccess)
    assert.equal((await n1.good({ do: 'keys', key: a })).mine, true)
    assert.equal(await service.say('write 2'), 'good')

    const stranger = await writer(target.url(1))
    assert.equal(await stranger.say('write 3'), 'conflict', 'who has no key can neither write')
    assert.equal(await stranger.say('read 3'), 'conflict', 'nor read')

    const aborted = await n2.ask({ do: 'preempt-abort', key: b, victim: a, type: exclusiveAccess })
    if (aborted.status === 'refused') await n2.good({ do: 'preempt', key: b, victim: a, type: exclusiveAccess })
    else assert.equal(aborted.status, 'good')
    assert.deepEqual(await n2.keys(b), [b])
    const refusals = [await service.say('write 4'), await service.say('write 5')]
    assert.ok(refusals.every((word) => word === 'attention' || word === 'conflict') && refusals[1] === 'conflict', refusals.join())
    const told = await n1.ask({ do: 'keys', key: a })
    const after = told.status === 'attention' ? await n1.good({ do: 'keys', key: a }) : told
    assert.equal(after.mine, false)
    assert.equal((await n1.ask({ do: 'reserve', key: a, type: exclusiveAccess })).status, 'conflict')
    assert.equal((await n2.good({ do: 'reservation' })).reservation?.type, exclusiveAccess, 'the reservation stays')
  })

  test('without any reservation keys can be taken away and come back: the challenge', async () => {
    const [n1, n2] = [open('n1', target.url(2)), open('n2', target.url(2))]
    await n1.good({ do: 'register', key: a })
    await n2.good({ do: 'register', key: b })
    await n2.good({ do: 'preempt', key: b, victim: a, type: exclusiveAccess })
    assert.deepEqual(await n2.keys(b), [b])
    const first = await n1.ask({ do: 'keys', key: a })
    if (first.status === 'attention') assert.equal((await n1.good({ do: 'keys', key: a })).mine, false)
    await n1.good({ do: 'register', key: a })
    assert.deepEqual([...(await n2.keys(b))].sort(), [a, b])
    await n2.good({ do: 'unregister', key: b })
    assert.deepEqual(await n1.keys(a), [a])
    assert.equal(
      (await n2.ask({ do: 'preempt', key: b, victim: a, type: exclusiveAccess })).status,
      'conflict',
      'who is not registered may not',
    )
    await n1.good({ do: 'clear', key: a })
    assert.deepEqual(await n1.keys(a), [])
  })

  test('the session outlives the process that asked for it, and its registration with it', async () => {
    const first = open('n1', target.url(3))
    await first.good({ do: 'register', key: a })
    const { session } = await first.good({ do: 'keys', key: a })
    first.disks.close()
    const second = open('n1', target.url(3))
    const found = await second.good({ do: 'keys', key: a })
    assert.deepEqual([found.session, found.mine], [session, true])
  })

  test('a session that is lost is a lost registration, although the key is still listed', async () => {
    const n1 = open('n1', cable.url(4))
    await n1.good({ do: 'register', key: a })
    const { session } = await n1.good({ do: 'keys', key: a })
    cable.set('cut')
    assert.equal((await n1.ask({ do: 'keys', key: a })).status, 'failed')
    assert.equal((await n1.ask({ do: 'keys', key: a })).status, 'failed', 'and stays lost while the target cannot be reached')
    cable.set('whole')
    let found: DiskAnswer | undefined
    await waitFor('a new session', patience, async () => {
      found = await n1.ask({ do: 'keys', key: a })
      return found.status === 'good'
    })
    assert.notEqual(found?.session, session)
    assert.equal(found?.mine, false)
  })

  test('a target that says nothing costs the time-out and no more; the next request has a session again', async () => {
    const n1 = open('n1', cable.url(5))
    await n1.good({ do: 'register', key: a })
    cable.set('holds')
    const before = performance.now()
    const answer = await n1.ask({ do: 'keys', key: a }, 300)
    assert.equal(answer.status, 'failed')
    assert.ok(performance.now() - before >= 250, 'not before its time')
    cable.set('whole')
    await waitFor('a new session', patience, async () => (await n1.ask({ do: 'keys', key: a })).status === 'good')
  })

  test('a slow target is waited for within the time-out', async () => {
    const n1 = open('n1', cable.url(6))
    await n1.good({ do: 'register', key: a })
    cable.delay = 300
    const before = performance.now()
    assert.equal((await n1.good({ do: 'keys', key: a })).mine, true)
    assert.ok(performance.now() - before >= 250)
  })

  test('a target that is not there is said to be so', async () => {
    const n1 = open('n1', `iscsi://127.0.0.1:1/iqn.2026-01.test.none/1`)
    const answer = await n1.ask({ do: 'keys', key: a })
    assert.equal(answer.status, 'failed')
    assert.match(answer.detail, /no session with iqn\.2026-01\.test\.none at 127\.0\.0\.1:1/)
  })
})
