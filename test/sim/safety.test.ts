/**
 * The sentences of docs/safety.md that speak of more than one room, each as a story of a whole cluster.
 *
 * Every story is told twice: as the program is, where it must hold; and with the rule taken out (the planted bug), where
 * something must be found. A story that ends well without its rule would prove nothing.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type BootInstant, instant, type NodeId } from '../../src/base/index.js'
import { AttemptRunner } from '../../src/core/arbiter/index.js'
import type { GroupRow } from '../../src/core/cluster/index.js'
import { Detector, LeaseGiver, LeaseHolder } from '../../src/core/detector/index.js'
import { GuardianCore, type GuardianEvent } from '../../src/core/guardian/index.js'
import { QuorateNode } from '../../src/node/index.js'
import { kindOf } from '../../src/node/messages.js'
import type { Machine } from './machine.js'
import { fencingOf, groupOf, World, type WorldOptions } from './world.js'

// Inside of the node, as a planted bug needs it.
// biome-ignore lint/suspicious/noExplicitAny: private parts have no types here.
type Inside = any

/** `web` runs on n1 and n2 leads. */
function begin(options: Partial<WorldOptions> = {}): World {
  const world = new World({ seed: 7, profile: 'fast', fencing: false, ...options })
  world.start({ web: groupOf(world.names) })
  lead(world, 'n2')
  assert.deepEqual(running(world), ['n1'])
  return world
}

function lead(world: World, name: string): void {
  world.until(
    `${name} leads`,
    () => {
      if (world.leader?.name === name && world.leader.daemon?.node?.holdsLease() === true) return true
      world.leader?.daemon?.node?.transferLead(name as NodeId)
      world.run(500)
      return false
    },
    20_000,
  )
  world.run(1_000)
}

function machine(world: World, name: string): Machine {
  const found = world.machine(name)
  assert.ok(found !== undefined)
  return found
}

function running(world: World): string[] {
  return world.truth.where('web').map((one) => one.name)
}

function web(world: World): GroupRow | undefined {
  return world.leader?.daemon?.node?.state.get('groups', 'web')
}

function isolate(world: World, name: string, how: 'both' | 'deaf' | 'mute' = 'both'): void {
  for (const other of world.names.filter((one) => one !== name)) {
    if (how !== 'deaf') world.network.cut(name, other, 'loses')
    if (how !== 'mute') world.network.cut(other, name, 'loses')
  }
}

function fence(world: World, node: string): void {
  world.must({ kind: 'start-operation', operation: `fence-${node}`, operationKind: 'fence', subject: node, detail: 'a test: because' })
}

/** Changes a method for the length of one story. */
function planted<Owner extends object>(
  owner: Owner,
  method: string,
  made: (original: (...given: Inside[]) => Inside) => Inside,
  story: () => void,
): void {
  const place = owner as Inside
  const original = place[method]
  assert.equal(typeof original, 'function', `${method} is there to be changed`)
  place[method] = made(original)
  try {
    story()
  } finally {
    place[method] = original
  }
}

describe('S1: a heartbeat is answered only after a quorum round that began after it came in', () => {
  // n1 leads and stops; another is elected; n1 goes on, cut off, and still believes that it leads.
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin(options)
    lead(world, 'n1')
    const n1 = machine(world, 'n1')
    isolate(world, 'n1')
    n1.daemon?.process.pause()
    world.until('another leads', () => world.leader !== undefined && world.leader !== n1, 10_000)
    const before = n1.runFolder.deadline
    n1.daemon?.process.resume()
    world.run(2_000)
    assert.equal(n1.runFolder.deadline, before, 'a leader that was deposed renews nobody, not even itself')
  }

  test('holds', () => story())

  test('is missed', () => {
    const makeNode: WorldOptions['makeNode'] = (...made) => {
      const node = new QuorateNode(...made)
      const inside = node as Inside
      const { presence } = inside
      const original = presence.takeRound.bind(presence)
      presence.takeRound = (id: string) => {
        if (original(id)) presence.confirmed(id, node.state, node.settings, 0, (renewed: unknown) => inside.renewed(renewed))
        return false
      }
      return node
    }
    assert.throws(() => story({ makeNode }), /not even itself/)
  })
})

describe('S2: the lease of a boot is called over only after its bound', () => {
  const story = () => {
    const world = begin({ watchdogTimeout: 2_000 })
    isolate(world, 'n1')
    world.until('web runs elsewhere', () => running(world).length > 0 && !running(world).includes('n1'), 30_000)
    assert.equal(world.leader?.daemon?.node?.state.get('boots', 'n1/n1-b1')?.proof?.kind, 'lease')
  }

  test('holds', story)

  test('is missed', () => {
    planted(
      LeaseGiver.prototype,
      'untilExpired',
      () => () => 0,
      () => assert.throws(story, /P4|P1/),
    )
  })
})

describe('S3: from the condemnation on the boot is answered no more', () => {
  // A person wants n1 off and its device fails. n1 does not get the log, so that it cannot know.
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin({ watchdogTimeout: 2_000, ...options })
    world.must(fencingOf('n1' as NodeId))
    const n1 = machine(world, 'n1')
    n1.device.mode = 'fails'
    const { frame } = world.network
    world.network.frame = (from, to, value) => to !== 'n1' && frame.call(world.network, from, to, value)
    fence(world, 'n1')
    world.until('web runs elsewhere', () => running(world).length > 0 && !running(world).includes('n1'), 30_000)
  }

  test('holds', () => story())

  test('is missed', () => {
    const makeNode: WorldOptions['makeNode'] = (self, io, ...rest) => {
      const node = new QuorateNode(self, io, ...rest)
      const { presence } = node as Inside
      const original = presence.received.bind(presence)
      presence.received = (from: string, ...given: Inside[]) => {
        const [, { boot, session, sendTime }] = given
        const renewed = { kind: 'renewed', boot, session, sendTime, leaseMs: 3_000, commitIndex: 0 }
        if (presence.giver !== undefined && from === 'n1') io.datagrams.send(0, { host: 'n1', port: 7400 }, renewed)
        return original(from, ...given)
      }
      return node
    }
    assert.throws(() => story({ makeNode }), /P4|P1/)
  })
})

describe('S4: a node that cannot renew has ended everything within its emergency stop, asking nobody', () => {
  const story = (guardianToo: boolean) => {
    const world = begin()
    const n1 = machine(world, 'n1')
    isolate(world, 'n1')
    n1.daemon?.process.pause()
    n1.monitor?.process.pause()
    if (guardianToo) n1.guardian?.process.pause()
    world.excused = () => false
    world.run(12_000)
    assert.deepEqual(running(world), [])
  }

  test('holds with daemon and monitor stopped', () => story(false))

  test('is missed', () => assert.throws(() => story(true), /P5/))
})

describe('S5: a guardian that hangs ends in a reset by the watchdog before anyone else may start', () => {
  const story = (watchdogWorks: boolean) => {
    const world = begin({ watchdogTimeout: 2_000 })
    const n1 = machine(world, 'n1')
    isolate(world, 'n1')
    for (const process of n1.processes) process.pause()
    if (!watchdogWorks) n1.feedWatchdog(undefined)
    world.until('web runs elsewhere', () => running(world).length > 0 && !running(world).includes('n1'), 30_000)
  }

  test('holds', () => story(true))

  test('is missed', () => assert.throws(() => story(false), /P5|P4|P1/))
})

describe('S16: a guardian that dies late, and is fed once more for it, does not keep the machine up past its time', () => {
  // n1 can stop nothing and is cut off; its guardian dies shortly before the watchdog would fire, and another one opens the device.
  const story = () => {
    const world = begin({ watchdogTimeout: 2_400 })
    const n1 = machine(world, 'n1')
    n1.behaviour('web' as never).unkillable = true
    isolate(world, 'n1')
    n1.daemon?.process.pause()
    n1.monitor?.process.pause()
    const { deadline } = n1.runFolder
    const boots = n1.boots
    while (n1.boots === boots && n1.clock.boot() < deadline + 4_900) world.run(10)
    if (n1.boots === boots) n1.kill(n1.guardian?.process)
    world.until('web runs elsewhere', () => running(world).some((name) => name !== 'n1'), 30_000)
  }

  test('holds', () => story())

  test('is missed: it is fed while it would still fire in time if nobody died', () => {
    const feed = () =>
      function (this: GuardianCore, event: GuardianEvent, now: BootInstant) {
        const effects = step.call(this, event, now)
        const { deadline } = event.kind === 'looked' ? event : { deadline: 0 }
        const inTime = event.kind === 'looked' && now + 10 + 2_400 <= deadline + 5_000
        return inTime ? [...effects, { kind: 'feed-watchdog' } as const] : effects
      }
    const { step } = GuardianCore.prototype
    planted(GuardianCore.prototype, 'step', feed, () => assert.throws(story, /P5|P4|P1/))
  })
})

describe('S17: what stands still goes on under a lease only, and is ended in time without one', () => {
  const story = () => {
    const world = new World({ seed: 7, profile: 'fast', watchdogTimeout: 1_000, fencing: false })
    world.start({ web: { ...groupOf(world.names), onQuorumLoss: 'freeze' } })
    lead(world, 'n2')
    isolate(world, 'n1')
    // Nor does anything else end it: the watchdog of this machine is broken.
    machine(world, 'n1').feedWatchdog(undefined)
    machine(world, 'n1').feedWatchdog = () => undefined
    world.until('web stands still', () => world.seen.has('frozen'), 10_000)
    assert.deepEqual(running(world), ['n1'], 'it has not ended')
    world.until('web runs elsewhere', () => running(world).some((name) => name !== 'n1'), 30_000)
  }
  const { step } = GuardianCore.prototype

  test('holds', story)

  test('is missed: its time has no end', () => {
    const still = new WeakSet<GuardianCore>()
    const endless = () =>
      function (this: GuardianCore, event: GuardianEvent, now: BootInstant) {
        if (event.kind === 'frozen') still.add(this)
        const later = event.kind === 'looked' && still.has(this) ? { ...event, deadline: (now + 60_000) as BootInstant } : event
        return step.call(this, later, now)
      }
    planted(GuardianCore.prototype, 'step', endless, () => assert.throws(story, /P5|P4|P1/))
  })

  test('is missed: it goes on whatever the lease', () => {
    const goesOn = () =>
      function (this: GuardianCore, event: GuardianEvent, now: BootInstant) {
        const effects = step.call(this, event, now)
        if (event.kind !== 'looked' || now < event.deadline + 100) return effects
        return [...effects, ...[...event.open].map(([group, token]) => ({ kind: 'thaw', group, token }) as const)]
      }
    planted(GuardianCore.prototype, 'step', goesOn, () => assert.throws(story, /P5/))
  })
})

describe('S6: nothing is started at or after the deadline that came with its order', () => {
  // The order lies with a monitor that does not run. Its lease ends, the group goes elsewhere, then it runs again.
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin({ watchdogTimeout: 2_000, ...options })
    world.must({ kind: 'set-intent', group: 'web' as never, intent: 'OFFLINE', operation: 'o1' })
    world.until('web is stopped', () => running(world).length === 0 && web(world)?.holder === null, 10_000)
    const n1 = machine(world, 'n1')
    const monitor = n1.monitor?.process
    monitor?.pause()
    world.must({ kind: 'set-intent', group: 'web' as never, intent: 'ONLINE', operation: 'o2' })
    world.until('web is granted to n1', () => web(world)?.holder?.node === 'n1', 10_000)
    world.run(200)
    isolate(world, 'n1')
    world.until('web runs elsewhere', () => running(world).length > 0, 30_000)
    assert.ok(monitor?.alive, 'the story is about a monitor that goes on')
    monitor.resume()
    world.run(2_000)
    assert.equal(running(world).length, 1)
  }

  test('holds', () => story())

  test('is missed', () => {
    const makeNode: WorldOptions['makeNode'] = (self, io, ...rest) => {
      const monitor = {
        ...io.monitor,
        send: (order: Inside) => io.monitor.send('deadline' in order ? { ...order, deadline: 1e12 } : order),
      }
      return new QuorateNode(self, { ...io, monitor }, ...rest)
    }
    assert.throws(() => story({ makeNode }), /P1/)
  })
})

describe('S7: nothing is granted before its former holder is proved unable to act', () => {
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin(options)
    isolate(world, 'n1')
    world.run(15_000)
    assert.equal(web(world)?.holder?.node, 'n1', 'without a proof it waits')
    assert.match(web(world)?.waitingFor ?? '', /proof/)
  }

  test('holds', () => story())

  test('is missed: whoever is condemned is assumed dead', () => {
    const makeNode: WorldOptions['makeNode'] = (self, io, restored, state) => {
      const freed = (row: Inside) =>
        row?.holder != null && state.get('boots', `${row.holder.node}/${row.holder.boot}`)?.state === 'condemned'
          ? { ...row, holder: null }
          : row
      const original = { get: state.get.bind(state), rows: state.rows.bind(state) } as Inside
      const place = state as Inside
      place.get = (table: string, key: string) => (table === 'groups' ? freed(original.get(table, key)) : original.get(table, key))
      place.rows = function* (table: string, from?: string) {
        for (const [key, row] of original.rows(table, from)) yield [key, table === 'groups' ? freed(row) : row]
      }
      place.derived = (_table: string, _what: string, make: () => unknown) => make()
      return new QuorateNode(self, io, restored, state)
    }
    assert.throws(() => story({ makeNode }), /P4|P1/)
  })
})

describe('S8: released means verified stopped and sealed', () => {
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin(options)
    machine(world, 'n1').behaviour('web' as never).stopMs = 800
    world.must({ kind: 'move-group', group: 'web' as never, to: 'n3' as NodeId, operation: 'o1' })
    world.until('web runs on n3', () => running(world).includes('n3'), 10_000)
    assert.deepEqual(running(world), ['n3'])
  }

  test('holds', () => story())

  test('is missed: stopping is taken for stopped', () => {
    const makeNode: WorldOptions['makeNode'] = (...made) => {
      const node = new QuorateNode(...made)
      const original = node.monitorReport.bind(node)
      node.monitorReport = (report) => {
        original(report)
        if (report.kind === 'group' && report.state === 'STOPPING') original({ kind: 'sealed', group: report.group, token: report.token })
      }
      return node
    }
    assert.throws(() => story({ makeNode }), /P4|P1/)
  })
})

describe('S9: off is believed when it was read twice', () => {
  // The device says that it has switched off and has not; asked for the state it tells the truth.
  const story = () => {
    const world = begin({ fencing: true })
    const { device } = machine(world, 'n1')
    device.forgets = true
    isolate(world, 'n1')
    world.run(2_500)
    assert.ok(
      world.deviceCalls.some((call) => call.of === 'n1' && call.action === 'off'),
      'it was called',
    )
    assert.equal(web(world)?.holder?.node, 'n1')
  }

  test('holds', story)

  test('is missed: the first answer is taken', () => {
    const firstAnswer = () =>
      function (this: Inside, run: Inside, effects: Inside) {
        if (!run.offReadings.every((readings: number) => readings >= 1)) return this.readAll(run, effects)
        run.result = { confirmed: true, detail: 'said so' }
      }
    planted(AttemptRunner.prototype, 'next', firstAnswer, () => assert.throws(story, /P4|P1/))
  })
})

describe('S10: an arbiter calls a device only under a lease that it asked for after the attempt, and that still runs', () => {
  // The arbiter of n1's case stops in the very moment in which it has applied the attempt. Another conducts the case
  // to its end and n1 comes back; then the first one goes on.
  const story = () => {
    const world = begin({ nodes: 5, fencing: true })
    let arbiter: Machine | undefined
    // From then on the log does not come to it; the answer to its last heartbeat does.
    const { frame } = world.network
    world.network.frame = (from, to, value) => to !== arbiter?.name && frame.call(world.network, from, to, value)
    for (const one of world.machines) {
      one.daemon?.node?.onApplied(({ events }) => {
        const attempt = events.find((event) => event.kind === 'case.attempt')
        if (arbiter !== undefined || attempt?.subject !== 'n1' || !attempt.text.includes(`${one.name} is to`)) return
        arbiter = one
        one.device.mode = 'fails'
        // With its guardian, which would end a daemon that says nothing for so long.
        for (const half of [one.daemon, one.guardian]) half?.process.pause()
      })
    }
    machine(world, 'n1').powerOff('the test wants it so')
    world.until('web runs elsewhere', () => running(world).length > 0, 60_000)
    const stopped = arbiter as Machine | undefined
    assert.ok(stopped !== undefined, 'an arbiter was appointed and stopped')
    assert.ok(
      world.deviceCalls.some((call) => call.of === 'n1' && call.by !== stopped.name),
      'another one has called',
    )
    world.until('n1 is back', () => machine(world, 'n1').daemon?.node?.holdsLease() === true, 20_000)
    const resumed = world.scheduler.now
    for (const half of [stopped.daemon, stopped.guardian]) half?.process.resume()
    world.run(3_000)
    const late = world.deviceCalls.filter((call) => call.by === stopped.name && call.of === 'n1' && call.at > resumed)
    assert.deepEqual(late, [], 'no call is made on an order that is over')
  }

  test('holds', story)

  test('is missed: the lease is not looked at', () => {
    planted(
      LeaseHolder.prototype,
      'mayAct',
      () => () => true,
      () => assert.throws(story, /on an order that is over/),
    )
  })
})

describe('S11: a sign of life after a proof voids it for what is not granted yet', () => {
  // n1 hears nothing and is heard; its device lies. Nobody can take web until n2 is let, when n1 still runs it.
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin({ fencing: true, ...options })
    world.alarmsAllowed = true
    machine(world, 'n1').device.lies = true
    for (const node of ['n2', 'n3'] as NodeId[]) world.must({ kind: 'set-duty', node, duty: 'standby', operation: null })
    isolate(world, 'n1', 'deaf')
    world.until('n1 is called off', () => world.deviceCalls.some((call) => call.of === 'n1' && call.action === 'off'), 10_000)
    world.run(1_000)
    world.must({ kind: 'set-duty', node: 'n2' as NodeId, duty: 'active', operation: null }, 5_000, machine(world, 'n2'))
    assert.deepEqual(running(world), ['n1'], 'the story is about a copy that still runs')
    world.run(1_000)
    assert.ok(world.alarms.length > 0, 'there is an alarm')
    assert.match(world.leader?.daemon?.node?.state.get('nodes', 'n1')?.deviceDistrusted ?? '', /heartbeats/)
  }

  test('holds', () => story())

  test('is missed', () => {
    const makeNode: WorldOptions['makeNode'] = (...made) => {
      const node = new QuorateNode(...made)
      ;(node as Inside).presence.ghost = () => undefined
      return node
    }
    assert.throws(() => story({ makeNode }), /P4|P1/)
  })

  test('heartbeats that were on their way when the power went are none', () => {
    for (let seed = 1; seed <= 8; seed++) {
      const world = begin({ fencing: true, profile: 'normal', seed })
      for (const other of ['n2', 'n3']) world.network.link('n1', other).delay = 400
      Object.assign(machine(world, 'n1').device, { latencyMin: 3, latencyMax: 9 })
      world.run(2_000)
      fence(world, 'n1')
      world.until('web runs elsewhere', () => running(world).length > 0 && !running(world).includes('n1'), 20_000)
      world.run(2_000)
      assert.deepEqual(world.alarms, [])
    }
  })
})

describe('S15: a device that says off of a boot that goes on being heard is not believed before it matters', () => {
  // n1's device is wired to something else, which is off. Later n1 is cut off.
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin({ fencing: true, ...options })
    world.alarmsAllowed = true
    machine(world, 'n1').device.lies = true
    world.must({ kind: 'patch-settings', patch: { verifyInterval: 1_000 } })
    world.run(12_000)
    isolate(world, 'n1')
    world.run(3_000)
    assert.match(world.leader?.daemon?.node?.state.get('nodes', 'n1')?.deviceDistrusted ?? '', /says off/)
  }

  test('holds', () => story())

  test('is missed', () => {
    const makeNode: WorldOptions['makeNode'] = (...made) => {
      const node = new QuorateNode(...made)
      ;(node as Inside).pathWatch.judge = () => undefined
      return node
    }
    assert.throws(() => story({ makeNode }), /P4|P1/)
  })

  test('one that is well is believed, whatever is lost and started anew', () => {
    for (let seed = 1; seed <= 6; seed++) {
      const world = begin({ fencing: true, seed })
      world.must({ kind: 'patch-settings', patch: { verifyInterval: 1_000 } })
      for (const name of ['n1', 'n3']) {
        world.run(2_500)
        machine(world, name).powerOff('by a test')
        world.run(1_300)
        machine(world, name).powerOn()
        world.run(6_000)
      }
      for (const name of world.names) assert.equal(world.leader?.daemon?.node?.state.get('nodes', name)?.deviceDistrusted, null)
    }
  })
})

describe('S12: nobody is condemned sooner than the time to answer allows', () => {
  const story = () => {
    const world = begin({ fencing: true })
    isolate(world, 'n1')
    world.until('n1 is condemned', () => world.leader?.daemon?.node?.state.get('boots', 'n1/n1-b1')?.state !== 'live', 10_000)
    const [[, row] = []] = [...(world.leader?.daemon?.node?.state.rows('cases') ?? [])]
    const condemnedAt = row?.timeline.find((line) => line.stage === 'CONDEMNED')?.at ?? 0
    assert.ok(condemnedAt - (row?.openedAt ?? 0) >= 75 - 10, `condemned ${condemnedAt - (row?.openedAt ?? 0)} ms after the challenge`)
  }

  test('holds', story)

  test('is missed: silence is taken for long enough at once', () => {
    const original = Detector.prototype.stage
    const hasty = () =>
      function (this: Detector, node: NodeId) {
        const stage = original.call(this, node)
        return stage === 'CHALLENGE' ? 'CONDEMNED' : stage
      }
    // The stage alone is not enough: the time since the case counts too, so both rules are taken out.
    planted(Detector.prototype, 'stage', hasty, () => {
      const makeHasty = (world: World) => {
        for (const one of world.machines) {
          const inside = one.daemon?.node as Inside
          const { leadership } = inside
          if (leadership !== undefined) leadership.caseSeenAt.set = () => leadership.caseSeenAt
          if (leadership !== undefined) leadership.since = instant(-1e9)
        }
      }
      assert.throws(() => {
        const world = begin({ fencing: true })
        makeHasty(world)
        isolate(world, 'n1')
        world.until('n1 is condemned', () => world.leader?.daemon?.node?.state.get('boots', 'n1/n1-b1')?.state !== 'live', 10_000)
        const [[, row] = []] = [...(world.leader?.daemon?.node?.state.rows('cases') ?? [])]
        const condemnedAt = row?.timeline.find((line) => line.stage === 'CONDEMNED')?.at ?? 0
        assert.ok(condemnedAt - (row?.openedAt ?? 0) >= 75 - 10, 'condemned too soon')
      }, /condemned (too soon|\d+ ms after its challenge)/)
    })
  })
})

describe('S13: a daemon that died is held by its guardian’s word, not fenced', () => {
  const story = (options: Partial<WorldOptions> = {}) => {
    const world = begin({ fencing: true, ...options })
    const n1 = machine(world, 'n1')
    const start = n1.startDaemon.bind(n1)
    // It takes a second to come up again.
    n1.startDaemon = () => {
      const process = start()
      process.pause()
      world.scheduler.after(1_000, () => process.resume())
      return process
    }
    n1.kill(n1.daemon?.process)
    world.run(3_000)
    assert.equal(world.checks.cases, 0, 'a case was opened')
    assert.deepEqual(running(world), ['n1'])
    assert.equal(world.truth.starts, 1)
  }

  test('holds', () => story())

  test('is missed: the guardian is not heard', () => {
    const makeNode: WorldOptions['makeNode'] = (...made) => {
      const node = new QuorateNode(...made)
      const original = node.datagram.bind(node)
      node.datagram = (sender, link, message) => {
        if (kindOf(message) !== 'guardian-answer') original(sender, link, message)
      }
      return node
    }
    assert.throws(() => story({ makeNode }), /a case was opened/)
  })
})

describe('S14: a leader never has a majority of the nodes switched off', () => {
  // n3 leads over links that lose and delay most of what the others say.
  test('holds', () => {
    for (let seed = 40; seed < 46; seed++) {
      const world = begin({ fencing: true, seed })
      lead(world, 'n3')
      for (const other of ['n1', 'n2']) Object.assign(world.network.link(other, 'n3'), { loss: 0.85, delay: 60 })
      for (let step = 0; step < 200; step++) {
        world.run(50)
        assert.ok(world.machines.filter((one) => one.powered).length >= 2, 'two of three have power')
      }
      world.network.healAll()
      world.until('everything recovers', () => world.isSettled(), 60_000)
    }
  })
})
