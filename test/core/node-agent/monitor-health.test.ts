/** What a daemon sees of its monitor: one that ends, hangs or is late, each told once. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MonitorHealth, MonitorNotes } from '../../../src/core/node-agent/index.js'

class Health extends MonitorHealth {
  private readonly told: MonitorNotes

  constructor() {
    const notes = new MonitorNotes()
    super(notes)
    this.told = notes
  }

  get first() {
    return this.told.next
  }

  /** Time passes, in ticks. Answers how often it was to be ended. */
  passes(span: number): number {
    let ends = 0
    for (let time = 0; time < span; time += 10) if (this.passed(10)) ends++
    return ends
  }

  says(): string[] {
    const said: string[] = []
    for (let note = this.first; note !== undefined; note = this.first) {
      said.push(note.what)
      this.told.told(note.number)
    }
    return said
  }
}

test('one that has not come yet is waited for', () => {
  const health = new Health()
  health.gone()
  assert.deepEqual([health.passes(60_000), health.says()], [0, []])
})

test('one that ends is told, and that it is back', () => {
  const health = new Health()
  health.came(true)
  health.gone()
  health.gone()
  assert.equal(health.passes(300), 0)
  health.came(true)
  assert.equal(health.first?.detail, 'it has ended: its guardian starts it anew, and what it keeps runs on')
  assert.deepEqual(health.says(), ['lost', 'back'])
})

test('one that hangs is ended, again after a while, and told once', () => {
  const health = new Health()
  health.came(true)
  assert.equal(health.passes(9_900), 0)
  health.beat(3)
  assert.equal(health.passes(9_900), 0)
  assert.equal(health.passes(12_000), 2)
  health.gone()
  health.came(true)
  assert.deepEqual(health.says(), ['hung', 'back'])
})

test('one that goes on by itself is not ended any more', () => {
  const health = new Health()
  health.came(true)
  health.passes(10_000)
  health.beat(5_000)
  for (let time = 0; time < 30; time++) {
    assert.equal(health.passes(1_000), 0)
    health.beat(2)
  }
  assert.deepEqual(health.says(), ['hung', 'back'])
})

test('one of an earlier version says nothing by itself, and is left alone', () => {
  const health = new Health()
  health.came(false)
  assert.deepEqual([health.passes(60_000), health.says()], [0, []])
})

test('one that is late again and again is told, and when it is in time again', () => {
  const health = new Health()
  health.came(true)
  for (const lag of [1_500, 1_500, 10, 1_500, 1_500]) health.beat(lag)
  assert.deepEqual(health.says(), [], 'now and then is no news')
  health.beat(1_500)
  health.beat(1_500)
  assert.deepEqual(health.says(), ['slow'])
  for (let count = 0; count < 10; count++) health.beat(10)
  assert.deepEqual(health.says(), ['well'])
})
