/** What a node without a lease does with its groups, where they ask for something else than to be stopped. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { NodeId } from '../../src/base/index.js'
import { Story } from './story.js'
import { groupOf } from './world.js'

const freeze = { onQuorumLoss: 'freeze' } as const

/** Everybody loses sight of everybody. */
function scatter(story: Story): void {
  for (const name of story.world.names) story.part(name)
}

describe('freeze', () => {
  test('the quorum comes back in time: the service stands still and goes on, without a restart', () => {
    const story = new Story({ emergencyStop: 10_000 }, freeze)
    const { starts } = story.world.truth
    scatter(story)
    story.world.until('web stands still', () => story.world.seen.has('frozen'), 10_000)
    story.world.run(500)
    story.world.network.healAll()
    story.world.until('web goes on', () => story.world.seen.has('thawed'), 10_000)
    story.settled()
    assert.deepEqual(
      [story.running, story.world.truth.starts - starts, story.cases.filter(({ proof }) => proof !== null).length],
      [['n1'], 0, 0],
    )
  })

  test('it does not: the service is killed before anybody may start it, and starts anew when it may', () => {
    const story = new Story({ emergencyStop: 10_000, fencing: false }, freeze)
    const { starts } = story.world.truth
    story.part('n1')
    story.world.until('web stands still', () => story.world.seen.has('frozen'), 10_000)
    assert.deepEqual(story.running, ['n1'], 'it has not ended')
    story.world.until('it is killed', () => story.running.length === 0, 6_000)
    story.world.run(30_000)
    assert.equal(story.world.seen.has('thawed'), false)
    story.world.network.healAll()
    story.settled()
    assert.equal(story.world.truth.starts - starts, 1)
  })

  test('the holder is cut off alone, and is proved off while its service stands still: it starts elsewhere, once', () => {
    const story = new Story({ emergencyStop: 10_000 }, freeze)
    story.machine('n1').device.latencyMin = 2_000
    story.machine('n1').device.latencyMax = 4_000
    story.part('n1')
    story.moved()
    story.world.network.healAll()
    story.settled()
  })

  test('guardian, daemon and monitor of the holder die while it stands still', () => {
    for (const role of ['guardian', 'daemon', 'monitor'] as const) {
      const story = new Story({ emergencyStop: 20_000 }, freeze)
      scatter(story)
      story.world.until('web stands still', () => story.world.seen.has('frozen'), 10_000)
      const machine = story.machine('n1')
      machine.kill(machine[role]?.process)
      story.world.run(1_000)
      story.world.network.healAll()
      story.settled()
    }
  })

  test('beside one that is stopped at once', () => {
    const story = new Story({ emergencyStop: 10_000 }, freeze)
    story.world.must({ kind: 'put-group', group: 'other' as never, definition: groupOf(story.world.names), intent: null, precondition: {} })
    story.settled()
    scatter(story)
    story.world.until('web stands still', () => story.world.seen.has('frozen'), 10_000)
    story.world.run(1_000)
    assert.deepEqual([story.running, story.world.truth.where('other').length], [['n1'], 0])
    story.world.run(20_000)
    assert.deepEqual(story.running, [])
    story.world.network.healAll()
    story.settled()
  })

  test('a watchdog leaves less time, and none where its own is half of the emergency stop', () => {
    for (const [watchdogTimeout, stands] of [
      [3_000, true],
      [5_000, false],
    ] as const) {
      const story = new Story({ emergencyStop: 10_000, watchdogTimeout, fencing: false }, freeze)
      story.part('n1')
      story.moved(90_000)
      assert.equal(story.world.seen.has('frozen'), stands)
      story.world.network.healAll()
      story.settled()
    }
  })
})

describe('selfFence', () => {
  const put = (story: Story) =>
    ({
      kind: 'put-group',
      group: 'self' as never,
      definition: { ...groupOf(story.world.names), onQuorumLoss: 'selfFence' as const },
      intent: null,
      precondition: {},
    }) as const

  test('the node is reset by its watchdog although everything was stopped in time', () => {
    const story = new Story({ fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 })
    story.world.must(put(story))
    story.settled()
    assert.equal(story.world.truth.where('self')[0]?.name, 'n1')
    story.part('n1')
    story.world.until('n1 was reset', () => story.machine('n1').boots === 2, 20_000)
    story.world.network.healAll()
    story.settled()
  })

  test('beside groups without it nobody is reset who has stopped in time', () => {
    const story = new Story({ fencing: false, watchdogTimeout: 1_000, emergencyStop: 3_000 })
    story.part('n1')
    story.moved()
    assert.equal(story.machine('n1').boots, 1)
    story.world.network.healAll()
    story.settled()
  })

  test('is refused where a node has no watchdog', () => {
    const story = new Story()
    let code: string | undefined
    story.world.ask(put(story), (result) => {
      code = result?.ok === false ? result.error.code : 'done'
    })
    story.world.until('the answer', () => code !== undefined, 10_000)
    assert.equal(code, 'INVALID_DEFINITION')
    assert.equal(story.node('n1' as NodeId)?.name, 'n1')
  })
})
