/** From the rhythm of heartbeats to stages: cumulative silence, less the observer's own stalls. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { effectiveSettings, instant, type NodeId } from '../../../src/base/index.js'
import { Detector } from '../../../src/core/detector/index.js'

const settings = effectiveSettings({ profile: 'fast' })
const [n1, n2] = ['n1', 'n2'] as [NodeId, NodeId]

/** An observer that ticks every 10 ms. */
class Observer {
  now = 0
  readonly detector = new Detector(n1, [n1, n2], instant(0))
  readonly seen: string[] = []

  hears(life = true, session = 's1'): this {
    this.detector.heartbeat(n2, 0, instant(this.now), life, session)
    return this
  }

  waits(span: number): this {
    for (const end = this.now + span; this.now < end; ) {
      this.now += 10
      this.tick()
    }
    return this
  }

  stalls(span: number): this {
    this.now += span
    this.tick()
    return this
  }

  refuses(...ports: string[]): this {
    for (const port of ports) this.detector.refused(n2, port, instant(this.now))
    return this
  }

  get stage(): string {
    return this.detector.stage(n2)
  }

  private tick() {
    for (const { from, to } of this.detector.tick(instant(this.now), settings, () => ['link', 'guardian']))
      this.seen.push(`${from} → ${to}`)
  }
}

test('silence goes through the stages, and one sign of life ends them all', () => {
  const observer = new Observer().hears().waits(300)
  assert.deepEqual(observer.seen, ['JOINING → HEALTHY', 'HEALTHY → MISSED', 'MISSED → QUERY', 'QUERY → CHALLENGE', 'CHALLENGE → CONDEMNED'])
  observer.hears()
  assert.equal(observer.stage, 'HEALTHY', 'at once, not with the next tick')
})

test('the thresholds are cumulative silence', () => {
  const stages = [140, 150, 225, 300].map((silence) => new Observer().hears().waits(silence).stage)
  assert.deepEqual(stages, ['MISSED', 'QUERY', 'CHALLENGE', 'CONDEMNED'])
})

test('the observer’s own stall is not the others’ silence', () => {
  const observer = new Observer().hears().waits(100).stalls(5_000)
  assert.equal(observer.stage, 'MISSED')
  assert.equal(observer.detector.stalledMs, 5_000)
  assert.equal(observer.waits(60).stage, 'QUERY')
})

test('heartbeats that prove no life do not end a suspicion, but show that the node is there', () => {
  const observer = new Observer().hears().waits(200).hears(false).waits(100)
  assert.equal(observer.stage, 'CONDEMNED')
  assert.equal(observer.detector.quiet(n2, instant(observer.now)), 100)
})

test('who was never heard may still be starting, for startGrace; unless another has heard it', () => {
  assert.equal(new Observer().waits(1_000).stage, 'JOINING')
  const told = new Observer()
  told.detector.heardElsewhere(n2)
  assert.equal(told.waits(1_000).stage, 'CONDEMNED')
  assert.equal(new Observer().waits(settings.startGrace).stage, 'CONDEMNED')
})

test('an answer through the log is life', () => {
  const observer = new Observer().hears().waits(250)
  observer.detector.lives(n2, instant(observer.now))
  assert.equal(observer.stage, 'HEALTHY')
  assert.equal(observer.waits(140).stage, 'MISSED')
})

test('the own node is healthy', () => {
  const observer = new Observer().waits(1_000)
  assert.equal(observer.detector.stage(n1), 'HEALTHY')
  assert.equal(observer.detector.silence(n1, instant(observer.now)), 0)
})

test('where every port refuses, nobody is waited for after the first silent interval', () => {
  const observer = new Observer().hears().waits(70).refuses('link', 'guardian')
  assert.equal(observer.stage, 'HEALTHY', 'a refusal alone is no silence')
  assert.equal(observer.waits(10).stage, 'CONDEMNED')
  assert.equal(observer.detector.refuses(n2), true)
})

test('a port that does not refuse is somebody to be asked', () => {
  const observer = new Observer().hears().waits(70).refuses('link')
  assert.equal(observer.waits(30).stage, 'MISSED')
  assert.equal(observer.detector.hasRefused(n2), true)
  assert.equal(observer.detector.refuses(n2), false)
})

test('refusals are forgotten with the next heartbeat, and count for a moment only', () => {
  const heard = new Observer().hears().waits(70).refuses('link', 'guardian').hears()
  assert.equal(heard.waits(100).stage, 'MISSED')
  const rare = new Observer().hears().waits(20).refuses('link').waits(140).refuses('guardian')
  assert.equal(rare.waits(10).stage, 'CONDEMNED', 'a machine does not say it each time')
  const old = new Observer()
    .hears()
    .refuses('link')
    .waits(settings.condemned + 10)
  old.detector.lives(n2, instant(old.now - 90))
  assert.equal(old.refuses('guardian').waits(10).stage, 'MISSED', 'the first of them is no news any more')
})

test('a port that refused while the node lived is not believed before its daemon is another one, or it answers', () => {
  const observer = new Observer().hears().waits(40).refuses('link', 'guardian').hears()
  observer.waits(40).refuses('link', 'guardian').hears()
  assert.equal(observer.refuses('link', 'guardian').waits(100).stage, 'MISSED', 'something between them refuses')
  observer.detector.answers(n2, 'guardian')
  assert.equal(observer.hears().waits(70).refuses('guardian').waits(10).stage, 'MISSED')
  assert.equal(observer.detector.portRefuses(n2, 'guardian'), true)
  observer.hears(true, 's2')
  assert.equal(observer.waits(70).refuses('link', 'guardian').waits(10).stage, 'CONDEMNED')
})

test('one heartbeat may have been on its way longer than the refusals of the ports that it came from', () => {
  const observer = new Observer().hears().waits(40).refuses('link', 'guardian').hears()
  assert.equal(observer.waits(70).refuses('link', 'guardian').waits(10).stage, 'CONDEMNED')
})

test('heartbeats that prove no life are somebody all the same', () => {
  const observer = new Observer().hears()
  for (let round = 0; round < 4; round++)
    observer
      .waits(40)
      .hears(false, `s${round + 2}`)
      .refuses('link', 'guardian')
  assert.notEqual(observer.waits(20).stage, 'CONDEMNED')
})

test('a guardian that answers takes its refusal back', () => {
  const observer = new Observer().hears().waits(70).refuses('link', 'guardian')
  observer.detector.answers(n2, 'guardian')
  assert.equal(observer.waits(20).stage, 'MISSED')
})

test('of two links one falls silent: told, counted, and no stage changes', () => {
  const detector = new Detector(n1, [n1, n2], instant(0), 2)
  let now = 0
  const run = (span: number, ...links: number[]) => {
    for (const end = now + span; now < end; ) {
      now += 10
      for (const link of links) detector.heartbeat(n2, link, instant(now), true, 's1')
      detector.tick(instant(now), settings)
    }
    const [report] = detector.report(instant(now))
    return [report?.stage, report?.oneLink, report?.links.map(({ isDown, lost }) => `${isDown ? 'down' : 'up'} ${lost}`).join(', ')]
  }
  assert.deepEqual(run(500, 0, 1), ['HEALTHY', false, 'up 0, up 0'])
  assert.deepEqual(run(290, 0), ['HEALTHY', false, 'up 0, up 0'])
  assert.deepEqual(run(20, 0), ['HEALTHY', true, 'up 0, down 1'])
  assert.deepEqual(run(20, 0, 1), ['HEALTHY', false, 'up 0, up 1'])
  now += 5_000 // The observer stood still: that was not the links' silence.
  assert.deepEqual(run(10, 0), ['HEALTHY', false, 'up 0, up 1'])
  assert.deepEqual(run(400), ['CONDEMNED', false, 'down 1, down 2'])
})

test('a link over which nothing ever came is down once the node is heard over another', () => {
  const detector = new Detector(n1, [n1, n2], instant(0), 2)
  for (let now = 10; now <= 400; now += 10) {
    detector.heartbeat(n2, 0, instant(now), true, 's1')
    detector.tick(instant(now), settings)
  }
  assert.equal(detector.isOnOneLink(n2), true)
})

test('a link that loses more than another is bad, until it loses next to nothing; where both do, none is', () => {
  const detector = new Detector(n1, [n1, n2], instant(0), 2)
  let seq = 0
  const run = (count: number, ...lost: readonly number[]) => {
    for (let beat = 0; beat < count; beat++) {
      seq++
      const now = instant(seq * settings.heartbeatInterval)
      // Each fifth is lost over these.
      for (const link of [0, 1]) if (!lost.includes(link) || seq % 5 !== 0) detector.heartbeat(n2, link, now, true, 's1', seq)
      detector.tick(now, settings)
    }
    return detector.badLinks(n2)
  }
  assert.deepEqual(run(100), [])
  assert.deepEqual(run(60, 1), [1])
  assert.deepEqual(run(200, 1), [1], 'and stays so')
  assert.deepEqual(run(20), [1], 'for a while')
  assert.deepEqual(run(100), [])
  assert.deepEqual(run(200, 0, 1), [])
})

test('three heartbeats that do not come over a link, and come over another, make it bad at once', () => {
  const detector = new Detector(n1, [n1, n2], instant(0), 2)
  let seq = 0
  const beat = (...links: readonly number[]) => {
    seq++
    const now = instant(seq * settings.heartbeatInterval)
    for (let at = now - settings.heartbeatInterval + 10; at < now; at += 10) detector.tick(instant(at), settings)
    for (const link of links) detector.heartbeat(n2, link, now, true, 's1', seq)
    detector.tick(now, settings)
    return detector.badLinks(n2)
  }
  for (let count = 0; count < 10; count++) beat(0, 1)
  assert.deepEqual([beat(1), beat(1), beat(1), beat(1)], [[], [], [], [0]])
  assert.deepEqual(beat(), [0], 'a moment without anything says nothing new')
})
