/** docs/safety.md names tests that exist. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

function projectRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

const root = projectRoot()
const document = readFileSync(join(root, 'docs', 'safety.md'), 'utf8')
const flat = document.replace(/\s+/g, ' ').replaceAll('’', "'")
const read = (path: string) => readFileSync(join(root, path), 'utf8')

test('sentences are numbered without gaps, and each names a test', () => {
  const sentences = document.split(/^(?=\d+\. )/m).slice(1)
  assert.deepEqual(
    sentences.map((sentence) => Number.parseInt(sentence, 10)),
    sentences.map((_, at) => at + 1),
  )
  for (const sentence of sentences) assert.match(sentence, /—[\s\S]*(`|S\d|\*)/, sentence.slice(0, 60))
})

test('every story that is named is told, and every story that is told is named', () => {
  const named = new Set(flat.match(/\bS\d+\b/g))
  const told = new Set(read('test/sim/safety.test.ts').match(/(?<=describe\(')S\d+/g))
  assert.deepEqual([...named].sort(), [...told].sort())
})

test('every file that is named is there', () => {
  const folders = [
    '',
    'test/core/raft/',
    'test/core/cluster/',
    'test/core/detector/',
    'test/core/arbiter/',
    'test/core/node-agent/',
    'test/core/guardian/',
    'test/core/monitor/',
    'test/core/raft/scenarios/',
    'test/sim/',
  ]
  for (const [, name = ''] of document.matchAll(/`([\w/-]+(?:\.test\.ts)?)`/g)) {
    if (!name.includes('.test.ts') && !name.includes('-')) continue
    const found = folders.some((folder) => existsSync(join(root, folder, name)) || existsSync(join(root, folder, `${name}.txt`)))
    assert.ok(found, name)
  }
})

test('every test whose name is quoted is there', () => {
  const tests = [
    'cluster/cases',
    'cluster/entries',
    'cluster/grants',
    'cluster/groups',
    'cluster/proofs',
    'detector/detector',
    'detector/lease',
    'arbiter/attempt-runner',
    'node-agent/node-agent',
    'guardian/guardian',
    'monitor/group',
  ]
    .map((name) => read(`test/core/${name}.test.ts`))
    .concat(read('test/sim/sim.test.ts'))
    .join('\n')
    .replaceAll('\\', '')
    .replaceAll('’', "'")
  for (const [, name = ''] of flat.matchAll(/(?<![\w*])\*([a-z0-9][^*]+)\*/g)) {
    const part = name.replace(/ …$/, '')
    if (
      ['stories', 'stopped', 'released', 'fenced', 'guardian', 'rebooted', 'lease', 'operator', '100 elections'].includes(
        part.toLowerCase(),
      )
    )
      continue
    assert.ok(tests.includes(part), name)
  }
})
