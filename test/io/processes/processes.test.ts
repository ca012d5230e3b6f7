import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import {
  type ActionRequest,
  type Cell,
  type Containment,
  type ContainmentPreference,
  DeathWatch,
  identify,
  isAlive,
  LogFollower,
  openContainment,
  pause,
  readStat,
  reopenContainment,
  runMarker,
  signalProcess,
  spawnAction,
  waitUntil,
} from '../../../src/io/processes/index.js'

let dir: string

before(() => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-proc-'))
})
after(() => rmSync(dir, { recursive: true, force: true }))

const key = `t${process.pid}`

/** Every kind that this machine and this user have. */
const kinds = (['cgroup2', 'freezer', 'sweep'] as const).filter(
  (kind: ContainmentPreference) => openContainment({ preference: kind, key, node: 'n1' }).place.kind === kind,
)

/** Children that left session and process group, and one whose parent is gone. */
const escapees = 'setsid sleep 1001 & setsid sh -c "sleep 1002 & wait" & (setsid sleep 1003 &) ; '

for (const kind of kinds) {
  let containment: Containment
  let cell: Cell
  let count = 0

  const open = () => {
    containment = openContainment({ preference: kind, key, node: 'n1' })
    const name = `g${++count}`
    cell = containment.cell(`${name}.app`, { QUORATE_GROUP: name, QUORATE_RESOURCE: 'app' })
  }
  const close = async () => {
    await cell.kill(5_000)
    cell.remove()
    containment.remove()
  }

  const request = (script: string, more: Partial<ActionRequest> = {}): ActionRequest => ({
    argv: ['/bin/sh', '-c', script],
    environment: {
      PATH: '/usr/bin:/bin',
      [runMarker]: key,
      QUORATE_GROUP: `g${count}`,
      QUORATE_RESOURCE: 'app',
      QUORATE_METHOD: (more.part ?? 'action') === 'service' ? 'start' : 'probe',
    },
    cell,
    part: 'action',
    output: { folder: dir },
    timeout: 10_000,
    ...more,
  })

  test(`${kind}: an action past its time is killed with all that it started`, async () => {
    open()
    const outcome = await spawnAction(request(`${escapees} sleep 1004`, { timeout: 300 })).done
    assert.equal(outcome.kind, 'timed-out')
    assert.ok(outcome.elapsedMs < 5_000)
    assert.ok(cell.empty(), `left: ${cell.pids()}`)
    await close()
  })

  test(`${kind}: an action is over at its exit, whatever it leaves behind, which can then be killed whole`, async () => {
    open()
    const outcome = await spawnAction(request(`${escapees} echo out; echo err >&2; exit 3`)).done
    assert.deepEqual([outcome.kind, outcome.code, outcome.stdout, outcome.stderr], ['exited', 3, 'out\n', 'err\n'])
    await waitUntil(() => cell.pids().length >= 4, 5_000)
    assert.equal(cell.empty(), false)
    assert.ok(await cell.kill(5_000))
    assert.ok(cell.empty())
    await close()
  })

  test(`${kind}: what probes and stops run is killed without touching the service`, async () => {
    open()
    await spawnAction(request('sleep 1005 & exit 0', { part: 'service' })).done
    await waitUntil(() => cell.pids('service').length === 1, 5_000)
    const [service] = cell.pids('service')
    const probe = spawnAction(request(`${escapees} sleep 1006`))
    await waitUntil(() => cell.pids('action').length >= 5, 5_000)
    assert.ok(await containment.killActions(5_000))
    assert.equal((await probe.done).code, undefined)
    assert.deepEqual(cell.pids('action'), [])
    assert.deepEqual(cell.pids('service'), [service])
    await close()
  })

  test(`${kind}: a service that stands still does nothing, goes on where it was, and can be killed`, async () => {
    open()
    const file = join(dir, `count-${kind}-${count}`)
    writeFileSync(file, '')
    const length = () => readFileSync(file).length
    await spawnAction(request(`(while :; do echo x >> ${file}; sleep 0.01; done) & exit 0`, { part: 'service' })).done
    assert.ok(await waitUntil(() => length() > 0, 5_000))
    const [service] = cell.pids('service')
    if (kind === 'sweep') {
      assert.equal(await cell.freeze(1_000), false, 'nothing here can do that')
      await close()
      return
    }
    assert.ok(await cell.freeze(5_000))
    const before = length()
    await pause(200)
    assert.equal(length(), before)
    assert.ok(await cell.freeze(5_000), 'once more does no harm')
    assert.ok(cell.pids('service').includes(service as number))
    const beside = await spawnAction(request('echo beside')).done
    assert.equal(beside.stdout, 'beside\n', 'what runs beside it does not stand still')
    assert.ok(await cell.thaw(5_000))
    assert.ok(await waitUntil(() => length() > before, 5_000))
    assert.ok(await cell.freeze(5_000))
    assert.ok(await cell.kill(5_000), 'killed while it stands still')
    assert.ok(cell.empty())
    const next = await spawnAction(request('echo again', { part: 'service' })).done
    assert.equal(next.stdout, 'again\n', 'whoever comes next does not stand still')
    await close()
  })

  test(`${kind}: the cells of other resources are left alone`, async () => {
    open()
    const mine = cell
    await spawnAction(request('sleep 1007 & exit 0', { part: 'service' })).done
    const first = `g${count}`
    open()
    await spawnAction(request('sleep 1008 & exit 0', { part: 'service' })).done
    assert.ok(await cell.kill(5_000))
    assert.equal(mine.pids().length, 1, first)
    await close()
    cell = mine
    await close()
  })

  test(`${kind}: no program runs under a sealed token, not even when the seal came after the spawn`, async () => {
    open()
    const seal = join(dir, `seal-${kind}`)
    for (const [text, token, expected] of [
      ['7\n', 7, 'sealed'],
      ['7\n', 6, 'sealed'],
      ['7\n', 8, 'exited'],
      ['garbled\n', 8, 'sealed'],
      ['', 8, 'sealed'],
    ] as const) {
      writeFileSync(seal, text)
      const outcome = await spawnAction(request('exit 0', { part: 'service', seal: { path: seal, token } })).done
      assert.equal(outcome.kind, expected, JSON.stringify([text, token]))
    }
    rmSync(seal)
    assert.equal((await spawnAction(request('exit 0', { part: 'service', seal: { path: seal, token: 1 } })).done).kind, 'exited')
    await close()
  })

  test(`${kind}: a killed cell is empty, also of what forks all the time`, async () => {
    open()
    await spawnAction(request('f() { while :; do setsid sleep 0.01 & wait $!; done; }; f & f & f & exit 0', { part: 'service' })).done
    await pause(100)
    assert.ok(await cell.kill(10_000))
    await pause(50)
    assert.ok(cell.empty())
    await close()
  })
}

let cell: Cell
beforeEach(() => {
  cell = openContainment({ preference: 'sweep', key, node: 'n1' }).cell('x.y', { QUORATE_GROUP: 'x', QUORATE_RESOURCE: 'y' })
})
afterEach(() => cell.kill(5_000))

const plain = (argv: readonly string[], more: Partial<ActionRequest> = {}): ActionRequest => ({
  argv,
  environment: { PATH: '/usr/bin:/bin', [runMarker]: key, QUORATE_GROUP: 'x', QUORATE_RESOURCE: 'y' },
  cell,
  part: 'action',
  output: { folder: dir },
  timeout: 10_000,
  ...more,
})

test('the environment is what is given, and nothing of ours', async () => {
  process.env.QUORATE_TEST_SECRET = 'x'
  const { stdout } = await spawnAction(plain(['/usr/bin/env'])).done
  assert.doesNotMatch(stdout, /SECRET/)
  assert.match(stdout, /QUORATE_GROUP=x/)
})

test('output is bounded, and the action is not held up by it', async () => {
  const outcome = await spawnAction(plain(['/bin/sh', '-c', 'head -c 20000000 /dev/zero | tr "\\0" a'])).done
  assert.equal(outcome.kind, 'exited')
  assert.equal(outcome.stdout.length, 65_536)
})

test('a program that is not there, and one killed by a signal, are told apart from an exit', async () => {
  const missing = await spawnAction(plain(['/nowhere/program'])).done
  assert.deepEqual([missing.kind, missing.code], ['exited', 127])
  const killed = await spawnAction(plain(['/bin/sh', '-c', 'kill -KILL $$'])).done
  assert.deepEqual([killed.kind, killed.code, killed.signal], ['exited', undefined, 'SIGKILL'])
})

test('a held program starts, and acts only on what it is given at its release; its time begins then', async () => {
  const held = spawnAction(plain(['/bin/cat'], { hold: true, input: 'action=off\n', timeout: 300 }))
  await pause(600)
  assert.ok(held.process !== undefined && isAlive(held.process))
  held.release()
  assert.deepEqual([(await held.done).stdout, (await held.done).code], ['action=off\n', 0])
})

test('cgroup2: limits are written where the controllers are, lifted when they are not given, and told where nothing holds them', () => {
  // A tree as the kernel shows it where memory and pids are passed down.
  const root = mkdtempSync(join(dir, 'cgroup-'))
  const service = join(root, 'g@app', 'service')
  mkdirSync(service, { recursive: true })
  for (const name of ['memory.max', 'pids.max']) writeFileSync(join(service, name), 'max')
  const held = reopenContainment({ kind: 'cgroup2', root }).cell('g@app', {})
  assert.deepEqual(held.limit({ memory: 2 ** 26, cpu: 1.5 }), ['cpu'])
  const read = () => ['memory.max', 'pids.max'].map((name) => readFileSync(join(service, name), 'utf8'))
  assert.deepEqual(read(), ['67108864', 'max'])
  writeFileSync(join(service, 'cpu.max'), 'max 100000')
  assert.deepEqual(held.limit({ tasks: 10, cpu: 0.25 }), [])
  assert.deepEqual([...read(), readFileSync(join(service, 'cpu.max'), 'utf8')], ['max', '10', '25000 100000'])
  for (const kind of ['freezer', 'sweep'] as const) {
    assert.deepEqual(reopenContainment({ kind, root }).cell('g@app', {}).limit({ memory: 1, tasks: 1 }), ['memory', 'tasks'])
  }
})

test('a log is followed from a place on, in pieces, and from its beginning when it was emptied', () => {
  const path = join(dir, 'followed')
  writeFileSync(path, 'before\n')
  const follower = new LogFollower(path, 7)
  assert.equal(follower.next(), '')
  const umlaut = Buffer.from('ü')
  appendFileSync(path, Buffer.concat([Buffer.from('gr'), umlaut.subarray(0, 1)]))
  assert.equal(follower.next(), 'gr')
  appendFileSync(path, Buffer.concat([umlaut.subarray(1), Buffer.from('n\n')]))
  assert.equal(follower.next(), 'ün\n')
  writeFileSync(path, 'new\n')
  assert.equal(follower.next(), 'new\n')
  appendFileSync(path, 'x'.repeat(300_000))
  assert.ok(follower.next().length < 300_000, 'much of it comes in pieces')
  assert.match(follower.next(), /^x+$/)
  assert.equal(follower.next(), '')
  assert.equal(new LogFollower(join(dir, 'none'), 0).next(), '')
})

test('a held program that is cancelled never sees the end of its input', async () => {
  const file = join(dir, 'acted')
  const held = spawnAction(plain(['/bin/sh', '-c', `cat > /dev/null; echo acted > ${file}`], { hold: true, input: 'x' }))
  await pause(100)
  held.cancel()
  assert.equal((await held.done).kind, 'cancelled')
  await pause(100)
  assert.throws(() => readFileSync(file))
})

test('a pid is never signalled without its start time', async () => {
  const child = spawn('/bin/sleep', ['1009'])
  const identity = identify(child.pid as number)
  assert.ok(identity)
  assert.equal(signalProcess({ ...identity, startTime: identity.startTime + 1 }, 'SIGKILL'), false)
  assert.ok(isAlive(identity))
  assert.ok(signalProcess(identity, 'SIGKILL'))
  await new Promise((resolve) => child.once('exit', resolve))
  assert.equal(isAlive(identity), false)
})

test('a name with spaces and parentheses does not confuse the reading of /proc', async () => {
  const path = join(dir, 'a) R 1 (b')
  writeFileSync(path, readFileSync('/bin/sleep'), { mode: 0o755 })
  const child = spawn(path, ['1010'])
  await waitUntil(() => readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes('(a) R 1 (b)'), 5_000)
  const stat = readStat(child.pid as number)
  assert.equal(stat?.parent, process.pid)
  child.kill('SIGKILL')
})

test('the end of a process that is nobody’s child of ours is noticed', async () => {
  const outcome = await spawnAction(plain(['/bin/sh', '-c', 'setsid sleep 1011 & echo $!'])).done
  const identity = identify(Number(outcome.stdout))
  assert.ok(identity)
  const ended = new Promise<unknown[]>((resolve) => {
    const watch = new DeathWatch<string>((key, process) => {
      watch.close()
      resolve([key, process])
    })
    watch.watch('it', [identity])
  })
  signalProcess(identity, 'SIGKILL')
  assert.deepEqual(await ended, ['it', identity])
})
