/** docs/safety.md and docs/hazards.md name tests that exist. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'

function projectRoot(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

const root = projectRoot()
const read = (path: string) => readFileSync(join(root, path), 'utf8')
const oneLine = (text: string) => text.replace(/\s+/g, ' ').replaceAll('\\', '').replaceAll('’', "'")
const documents = ['safety.md', 'hazards.md'].map((name) => ({ name, text: read(`docs/${name}`) }))
const safety = read('docs/safety.md')

/** Everything that a test can be called by. */
const tests = oneLine(
  readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => read(`test/${file}`))
    .join('\n'),
)

const folders = [
  '',
  'docs/',
  'test/core/raft/scenarios/',
  ...['raft', 'cluster', 'detector', 'arbiter', 'node-agent', 'guardian', 'monitor'].map((room) => `test/core/${room}/`),
  'test/sim/',
  'test/root/',
]

/** Words in italics that are no names of tests. */
const words = new Set(['stories', 'stopped', 'released', 'fenced', 'guardian', 'rebooted', 'lease', 'operator', '100 elections'])

test('sentences are numbered without gaps, and each names a test', () => {
  const sentences = safety.split(/^(?=\d+\. )/m).slice(1)
  assert.deepEqual(
    sentences.map((sentence) => Number.parseInt(sentence, 10)),
    sentences.map((_, at) => at + 1),
  )
  for (const sentence of sentences) assert.match(sentence, /—[\s\S]*(`|S\d|\*)/, sentence.slice(0, 60))
})

test('each hazard says what holds it', () => {
  const rows = read('docs/hazards.md').match(/^\| [RH]\d.*$/gm) ?? []
  assert.ok(rows.length >= 50)
  for (const row of rows) {
    const [, , , , held = ''] = row.split('|')
    assert.match(held, /`|random worlds|S\d|planted|_H\d/, row)
  }
})

test('every story that is named is told, and every story that is told is named', () => {
  const told = new Set(read('test/sim/safety.test.ts').match(/(?<=describe\(')S\d+/g))
  assert.deepEqual([...new Set(safety.match(/\bS\d+\b/g))].sort(), [...told].sort())
  for (const { name, text } of documents) for (const story of text.match(/\bS\d+\b/g) ?? []) assert.ok(told.has(story), `${name}: ${story}`)
})

for (const { name, text } of documents) {
  test(`every file that ${name} names is there`, () => {
    for (const [, file = ''] of text.matchAll(/`([\w/.-]+)`/g)) {
      if (!file.includes('.ts') && !file.includes('-')) continue
      const found = folders.some((folder) => existsSync(join(root, folder, file)) || existsSync(join(root, folder, `${file}.txt`)))
      assert.ok(found, file)
    }
  })

  test(`every test that ${name} quotes is there`, () => {
    for (const [, , quoted = ''] of oneLine(text).matchAll(/(?<![\w*`])([*_])([a-zH0-9][^*_`]+)\1(?![\w*])/g)) {
      const part = quoted.replace(/ …$/, '')
      if (!words.has(part.toLowerCase())) assert.ok(tests.includes(part), quoted)
    }
  })
}
