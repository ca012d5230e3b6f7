import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSealed } from '../../../src/core/cluster/index.js'
import { openSealer } from '../../../src/io/sealing/index.js'

const sealer = openSealer('a secret of the tests')
const texts = ['geheim', '', 'with spaces and "quotes"', 'ünïcödé ☂', 'x'.repeat(10_000)]

test('what is sealed is opened under the same secret, and tells nothing of itself', () => {
  for (const text of texts) {
    const sealed = sealer.seal(text)
    assert.ok(isSealed(sealed))
    assert.ok(text === '' || !sealed.includes(text))
    assert.match(sealed, /^[\x20-\x7e]+$/, 'it fits on a line of an agent’s input')
    assert.equal(openSealer('a secret of the tests').open(sealed), text)
  }
})

test('the same text is the same sealed text, and others are others', () => {
  assert.equal(sealer.seal('geheim'), sealer.seal('geheim'))
  assert.equal(new Set(texts.map((text) => sealer.seal(text))).size, texts.length)
  assert.notEqual(sealer.seal('geheim'), openSealer('another secret of theirs').seal('geheim'))
})

test('under another secret, cut or changed it is not opened', () => {
  const sealed = sealer.seal('geheim')
  const flipped = `${sealed.slice(0, -3)}${sealed.at(-3) === 'A' ? 'B' : 'A'}${sealed.slice(-2)}`
  for (const wrong of [sealed.slice(0, -8), 'sealed:1:', 'sealed:1:AAAA', flipped])
    assert.throws(() => sealer.open(wrong), { code: 'INVALID' })
  assert.throws(() => openSealer('another secret of theirs').open(sealed), { code: 'INVALID' })
})

test('what was never sealed is as it is', () => {
  assert.equal(sealer.open('geheim'), 'geheim')
})
