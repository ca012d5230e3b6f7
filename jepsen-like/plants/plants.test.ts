/** Every planted mistake still fits the program: a text that is gone, or there twice, would plant nothing or something else. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { chooseFaults } from '../faults/index.js'
import { chooseWorkloads } from '../workloads/index.js'
import { changed } from './copy.js'
import { plants } from './plants.js'

const root = resolve(import.meta.dirname, '../../..')

test('there are at least 15 planted mistakes, each with a name of its own', () => {
  assert.ok(plants.length >= 15)
  assert.equal(new Set(plants.map(({ name }) => name)).size, plants.length)
})

for (const plant of plants) {
  test(`${plant.name}: ${plant.mistake}`, () => {
    const texts = new Map<string, string>()
    for (const change of plant.changes) {
      const before = texts.get(change.file) ?? readFileSync(join(root, 'dist/src', change.file), 'utf8')
      const after = changed(before, change)
      assert.notEqual(after, before)
      texts.set(change.file, after)
    }
    assert.notEqual(typeof chooseWorkloads(plant.workloads), 'string')
    assert.notEqual(typeof chooseFaults(plant.nemesis), 'string')
  })
}

test('a text that is not there exactly once is refused', () => {
  const change = { file: 'a.js', from: 'if (x)\n return', to: '' }
  assert.throws(() => changed('nothing', change), /0 times/)
  assert.throws(() => changed('if (x) return; if (x)\n  return', change), /2 times/)
  assert.equal(changed('a; if (x)\n    return; b', change), 'a; ; b')
})
