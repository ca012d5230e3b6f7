/**
 * Shared disks in a whole simulated cluster: the challenge there, with disks that are well and disks that are not, and nodes that are
 * cut off from the storage on which a group lives.
 *
 * A copy that cannot write counts for nothing: that is what a `storage` proof is worth. All else is judged as always.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { DiskName, NodeId } from '../../src/base/index.js'
import { type Command, leaseBound, mayStillRun, settingsOf } from '../../src/core/cluster/index.js'
import { DiskWatch } from '../../src/core/disks/index.js'
import type { SharedDisk } from './shared-disk.js'
import { Story } from './story.js'
import { fencingOf, groupOf } from './world.js'

const d1 = 'd1' as DiskName

function readyOn(story: Story): boolean {
  const state = story.world.leader?.daemon?.node?.state
  return story.world.names.every((name) => {
    const machine = story.machine(name)
    return state?.get('boots', `${name}/${machine.bootId}`)?.disks?.[d1]?.ready === true
  })
}

/** Milliseconds of log time from the challenge to the condemnation. */
function condemnedAfter(story: Story): number | undefined {
  const [first] = story.cases
  const condemned = first?.timeline.find(({ stage }) => stage === 'CONDEMNED')
  return first === undefined || condemned === undefined ? undefined : condemned.at - first.openedAt
}

describe('a challenge on a shared disk', () => {
  function challenged(profile: 'fast' | 'normal' = 'normal'): { story: Story; disk: SharedDisk } {
    const story = new Story({ profile })
    const disk = story.world.addDisk('d1', 'challenge')
    story.world.until('every key stands', () => readyOn(story), 20_000)
    return { story, disk }
  }
  const answered = (story: Story): boolean => story.cases[0]?.timeline.some(({ stage }) => stage === 'DISK ANSWER') === true

  for (const profile of ['fast', 'normal'] as const)
    test(`is answered by a node that only the network has lost, ${profile}: it is not cut off before its lease has run out, and has ended all by then`, () => {
      const { story } = challenged(profile)
      story.part('n1')
      story.world.until('n1 answers on the disk', () => answered(story), 10_000)
      story.world.until('n1 is condemned', () => condemnedAfter(story) !== undefined, 30_000)
      const { state } = story.world.leader?.daemon?.node ?? {}
      assert.ok(state !== undefined)
      assert.ok((condemnedAfter(story) ?? 0) >= leaseBound(state, settingsOf(state)) - 1_000, `condemned after ${condemnedAfter(story)} ms`)
      story.moved()
      story.world.network.healAll()
      story.settled()
    })

  test('is answered, and the network comes back before the lease is over: nobody is cut off, and the service runs on', () => {
    const { story } = challenged()
    const { starts } = story.world.truth
    story.part('n1')
    story.world.until('n1 answers on the disk', () => answered(story), 10_000)
    story.world.run(300)
    story.world.network.healAll()
    story.settled()
    assert.equal(story.offs('n1'), 0)
    assert.equal(story.cases[0]?.stage, 'CLOSED')
    assert.deepEqual(story.running, ['n1'])
    assert.equal(story.world.truth.starts, starts)
  })

  const bound = (story: Story): number => {
    const { state } = story.world.leader?.daemon?.node ?? {}
    const { condemned, challenge } = settingsOf(state as never)
    return condemned - challenge + 150
  }
  const inTime = (story: Story) => {
    story.world.until('n1 is condemned', () => condemnedAfter(story) !== undefined, 30_000)
    assert.ok((condemnedAfter(story) ?? 0) <= bound(story), `condemned after ${condemnedAfter(story)} ms`)
    assert.ok(!answered(story))
    story.moved()
  }

  test('is not answered by a node that is dead: it changes nothing', () => {
    const { story } = challenged()
    story.machine('n1').powerOff('its supply is gone')
    inTime(story)
    story.machine('n1').powerOn()
    story.settled()
  })

  test('is not answered by a node that stands still', () => {
    const { story } = challenged()
    for (const process of story.machine('n1').processes) process.pause()
    inTime(story)
  })

  test('on a disk that nobody reaches changes nothing', () => {
    const { story, disk } = challenged()
    disk.mode = 'unreachable'
    story.part('n1')
    inTime(story)
  })

  test('on a disk that is slower than the challenge changes nothing', () => {
    const { story, disk } = challenged()
    disk.latency = 450
    story.part('n1')
    inTime(story)
  })

  test('on a disk that keeps a key and says that it is gone: put off until the lease is over, and no longer', () => {
    const { story, disk } = challenged()
    disk.mode = 'keeps'
    story.machine('n1').powerOff('its supply is gone')
    story.world.until('the disk is believed', () => answered(story), 10_000)
    story.moved(30_000)
    story.machine('n1').powerOn()
    story.settled()
  })

  test('does not end a fencing that a person asked for, nor put it off', () => {
    const { story } = challenged()
    story.fence('n1')
    story.world.until('n1 is off', () => !story.machine('n1').powered, 20_000)
    assert.ok(!answered(story))
    story.settled()
  })

  test('a target that is started anew has forgotten everybody: all register again, and nothing else happens', () => {
    const { story, disk } = challenged()
    const { starts } = story.world.truth
    for (const machine of story.world.machines) disk.breakSession(machine)
    story.world.run(10_000)
    story.world.until('every key stands', () => readyOn(story), 20_000)
    assert.deepEqual([story.cases.length, story.world.truth.starts], [0, starts])
  })
})

describe('groups that live on a shared disk', () => {
  const scsi3 = { agent: 'scsi3', parameters: { disk: 'd1' }, timeout: 5_000 }
  const power = (name: NodeId) => (fencingOf(name) as Extract<Command, { kind: 'patch-node' }>).fencing?.levels[0] ?? []

  /** `data` lives on d1, and runs on n1. */
  function stored(levels: (name: NodeId) => Command, options: { readonly keepWeb?: boolean } = {}): { story: Story; disk: SharedDisk } {
    const story = new Story({ profile: 'normal', fencing: false })
    const { world } = story
    const disk = world.addDisk('d1', 'storage')
    for (const name of world.names) world.must(levels(name))
    world.until('every key stands', () => readyOn(story), 20_000)
    if (options.keepWeb !== true) world.must({ kind: 'delete-group', group: 'web' as never, operation: 'gone', precondition: {} })
    world.storageOf.set('data', d1)
    world.must({
      kind: 'put-group',
      group: 'data' as never,
      definition: { ...groupOf(world.names), storage: d1 },
      intent: null,
      precondition: {},
    })
    world.until('data runs on n1', () => where(story)[0] === 'n1' && world.isSettled() === true, 30_000)
    return { story, disk }
  }
  const onlyStorage = (name: NodeId): Command => ({
    kind: 'patch-node',
    node: name,
    fencing: { levels: [[scsi3]], then: 'on' },
    precondition: {},
  })
  const storageFirst = (name: NodeId): Command => ({
    kind: 'patch-node',
    node: name,
    fencing: { levels: [[scsi3], power(name)], then: 'on' },
    precondition: {},
  })
  const where = (story: Story): string[] => story.world.truth.where('data').map((one) => one.name)
  const data = (story: Story) => story.world.leader?.daemon?.node?.state.get('groups', 'data' as never)
  const stateOf = (story: Story, boot: string) => story.world.leader?.daemon?.node?.state.get('boots', `n1/${boot}`)
  const moved = (story: Story) =>
    story.world.until('data runs elsewhere', () => where(story).length === 1 && where(story)[0] !== 'n1', 30_000)

  test('H16 the holder is cut off from its storage and runs on: its group goes on elsewhere, and the node comes back with another boot only', () => {
    const { story } = stored(onlyStorage)
    const { bootId } = story.machine('n1')
    story.part('n1')
    moved(story)
    assert.equal(story.cases[0]?.proof?.kind, 'storage')
    assert.ok(story.machine('n1').powered && story.machine('n1').bootId === bootId, 'nobody has switched it off')
    story.world.network.healAll()
    story.world.run(20_000)
    const state = story.world.leader?.daemon?.node?.state
    assert.equal(state?.get('boots', `n1/${bootId}`)?.state, 'ended')
    assert.deepEqual(
      story
        .machine('n1')
        .allCells()
        .filter((cell) => cell.service !== undefined),
      [],
      'it has stopped what it ran',
    )
    assert.deepEqual([where(story).length, where(story).includes('n1')], [1, false])
    story.machine('n1').reset('a person starts it anew')
    story.settled()
    assert.ok(readyOn(story))
  })

  test('what does not live there waits for more: a storage proof is none for it', () => {
    const { story } = stored(onlyStorage, { keepWeb: true })
    assert.deepEqual(story.running, ['n1'])
    story.machine('n1').powerOff('its supply is gone')
    moved(story)
    story.world.run(30_000)
    assert.deepEqual(story.running, [])
    const [first] = story.cases
    assert.deepEqual([first?.stage, first?.proof, first?.attempts.length], ['CONDEMNED', null, 1], 'one cut is enough, and ends no case')
    assert.equal(data(story)?.holder?.node === 'n1', false)
    story.machine('n1').powerOn()
    story.settled()
  })

  for (const [what, latency, stopped] of [
    ['the disk answers before it has stopped', 0.2, false],
    ['it has stopped before the disk answers', 150, false],
    ['its guardian speaks before the disk answers', 490, true],
  ] as const) {
    test(`a person cuts off a node that has no other device, ${what}: that is done once, and it is back when it was started anew`, () => {
      const { story, disk } = stored(onlyStorage, { keepWeb: true })
      const { daemon } = story.machine('n1')
      disk.latency = latency
      if (stopped) {
        daemon?.process.pause()
        story.world.run(600)
      }
      story.fence('n1')
      if (stopped) {
        story.world.until('its guardian has spoken', () => story.cases[0]?.proof?.kind === 'guardian', 20_000)
        assert.equal(story.cases[0]?.attempts[0]?.state, 'open')
      }
      const operation = () => story.world.leader?.daemon?.node?.state.get('operations', 'op-n1')
      story.world.until('the request is done', () => operation()?.status === 'done', 60_000)
      daemon?.process.resume()
      disk.latency = 0.2
      story.world.until(
        'everything runs elsewhere',
        () => !['n1', undefined].includes(where(story)[0]) && story.running[0] !== 'n1',
        30_000,
      )
      story.world.until('the case is over', () => story.cases.every(({ stage }) => stage === 'RECOVERED'), 30_000)
      story.world.run(10_000)
      assert.equal(story.cases.length, 1)
      assert.match(operation()?.result ?? '', /its key is gone from d1/)
      const boot = story.world.leader?.daemon?.node?.state.get('boots', `n1/${story.machine('n1').bootId}`)
      assert.deepEqual([boot?.state, boot?.proof?.kind], ['ended', 'storage'])
      story.machine('n1').reset('a person starts it anew')
      story.settled()
      assert.ok(readyOn(story))
    })
  }

  test('with a power device behind it the case goes on to that, and what was cut off first is not waited for', () => {
    const { story } = stored(storageFirst, { keepWeb: true })
    story.part('n1')
    story.moved()
    const [first] = story.cases
    assert.equal(first?.proof?.kind, 'fenced')
    assert.deepEqual(
      first?.attempts.slice(0, 2).map(({ level, action, state }) => [level, action, state]),
      [
        [0, 'off', 'confirmed'],
        [1, 'off', 'confirmed'],
      ],
    )
    moved(story)
    story.world.network.healAll()
    story.settled()
    assert.equal(story.machine('n1').boots, 2)
  })

  test('the array is out of reach of everybody: nothing is proved, and nothing is started', () => {
    const { story, disk } = stored(onlyStorage)
    story.machine('n1').powerOff('its supply is gone')
    disk.mode = 'unreachable'
    story.world.run(30_000)
    assert.deepEqual(where(story), [])
    assert.equal(story.cases[0]?.proof ?? null, null)
    disk.mode = 'works'
    moved(story)
    story.machine('n1').powerOn()
    story.settled()
  })

  test('an array that is slow takes its time, and proves it', () => {
    const { story, disk } = stored(onlyStorage)
    disk.latency = 300
    story.machine('n1').powerOff('its supply is gone')
    moved(story)
    assert.equal(story.cases[0]?.proof?.kind, 'storage')
  })

  test('an array that says that a key is gone, and still lists it, proves nothing', () => {
    const { story, disk } = stored(onlyStorage)
    disk.mode = 'keeps'
    story.machine('n1').powerOff('its supply is gone')
    story.world.run(30_000)
    assert.deepEqual(where(story), [])
    assert.ok(story.cases[0]?.attempts.every(({ state }) => state === 'failed'))
    disk.mode = 'works'
    moved(story)
  })

  test('a holder whose key somebody has taken away stops at once, and its token ends; registered again it is as good as any', () => {
    const { story, disk } = stored(onlyStorage)
    const token = data(story)?.holder?.token
    disk.takeKeysOf(story.machine('n1'))
    story.world.until(
      'it runs under another token',
      () => (data(story)?.holder?.token ?? token) !== token && where(story).length === 1,
      20_000,
    )
    assert.equal(story.cases.length, 0)
    story.world.until('every key stands', () => readyOn(story), 20_000)
    story.settled()
  })

  test('a holder that loses its session with the array loses its groups, and no other node takes them before it has sealed them', () => {
    const { story, disk } = stored(onlyStorage)
    const token = data(story)?.holder?.token
    story.machine('n1').behaviour('data' as never).stopMs = 1_500
    disk.breakSession(story.machine('n1'))
    story.world.until(
      'it runs under another token',
      () => (data(story)?.holder?.token ?? token) !== token && where(story).length === 1,
      30_000,
    )
    story.settled()
    assert.ok(readyOn(story))
  })

  test('an array that was without power has forgotten everybody: the holder ends what it runs, all register again, and it goes on', () => {
    const { story, disk } = stored(onlyStorage)
    const token = data(story)?.holder?.token
    disk.forgetAll()
    story.world.until(
      'it runs under another token',
      () => (data(story)?.holder?.token ?? token) !== token && where(story).length === 1,
      30_000,
    )
    story.settled()
    assert.ok(readyOn(story))
    assert.equal(story.cases.length, 0)
  })

  test('a node sleeps while its storage is cut off, and what woke with it ends slowly: its key comes back only then', () => {
    const { story } = stored(onlyStorage, { keepWeb: true })
    const n1 = story.machine('n1')
    for (const process of n1.processes) process.pause()
    moved(story)
    n1.behaviour('data' as never).stopMs = 4_000
    for (const process of n1.processes) process.resume()
    const isLeft = () => n1.cell('data' as never, 'app' as never).service !== undefined
    story.world.until('n1 is let in again', () => stateOf(story, n1.bootId)?.state === 'live', 30_000)
    story.world.run(1_000)
    assert.deepEqual([isLeft(), stateOf(story, n1.bootId)?.disks?.[d1]?.ready], [true, false])
    story.world.until('its key stands again', () => readyOn(story), 30_000)
    assert.deepEqual([isLeft(), n1.boots], [false, 1])
    story.settled()
  })

  test('a node that registered again while it holds a group there would undo the proof: a second copy is found', () => {
    const place = DiskWatch.prototype as unknown as { mayRegister: () => boolean }
    const { mayRegister } = place
    place.mayRegister = () => true
    try {
      assert.throws(() => {
        const { story } = stored(onlyStorage)
        story.part('n1')
        moved(story)
        story.world.run(5_000)
      }, /P1: data runs on/)
    } finally {
      place.mayRegister = mayRegister
    }
  })

  test('the daemon of the holder is started anew: key, token and service stay', () => {
    const { story } = stored(onlyStorage)
    const { starts } = story.world.truth
    const token = data(story)?.holder?.token
    story.machine('n1').kill(story.machine('n1').daemon?.process)
    story.world.run(5_000)
    story.settled()
    assert.deepEqual([data(story)?.holder?.token, story.world.truth.starts], [token, starts])
  })

  test('its arbiter dies before, while and after it takes the key: another goes on, and there is never a second copy', () => {
    for (const after of [0, 100, 300, 600, 900, 1_200]) {
      const { story } = stored(onlyStorage)
      story.part('n1')
      story.world.until('n1 has a case', () => story.cases.length > 0, 20_000)
      const arbiter = story.machine(story.cases[0]?.arbiter ?? 'n3')
      story.world.run(after)
      arbiter.kill(arbiter.daemon?.process)
      story.world.until('data runs elsewhere', () => where(story).length === 1 && where(story)[0] !== 'n1', 60_000)
      assert.ok(mayStillRun(data(story) as never))
    }
  })
})
