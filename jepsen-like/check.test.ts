/** The command line: one line for each file, whatever is in it, and an exit status for scripts. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const root = join(import.meta.dirname, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'quorate-check-'))
after(() => rmSync(folder, { recursive: true }))

function check(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(join(root, 'jepsen-like', 'check'), args, { encoding: 'utf8', cwd: folder })
  const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
  return { status, stdout, stderr, lines: lines.map((line) => JSON.parse(line)) }
}

function file(name: string, ...lines: readonly (object | string)[]): string {
  writeFileSync(join(folder, name), lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'))
  return name
}

const header = { model: 'cas-register', initial: 0, strict: false }
const call = (process: number, f: string, asked: unknown, answered: unknown) => [
  { process, type: 'invoke', f, value: asked, time: 1 },
  { process, type: 'ok', f, value: answered, time: 2 },
]
const good = file('good.jsonl', header, ...call(0, 'write', 1, 1), ...call(1, 'read', null, 1))
const stale = file('stale.jsonl', header, ...call(0, 'write', 1, 1), ...call(1, 'read', null, 0))

test('a linearizable history is true, and the status is 0', () => {
  const { status, lines } = check(good)
  assert.deepEqual(lines, [
    { history: 'good', linearizable: true, witness: null, note: 'line 4: its time 1 is before 2 of line 3; the order of lines counts' },
  ])
  assert.equal(status, 0)
})

test('a stale read is false, and named with its line', () => {
  const { status, lines } = check(good, stale)
  assert.deepEqual(
    lines.map(({ history, linearizable }) => [history, linearizable]),
    [
      ['good', true],
      ['stale', false],
    ],
  )
  const { operation, conflict, subhistory } = lines[1].witness
  assert.deepEqual(operation, { line: 4, process: 1, f: 'read', key: null, value: 0, outcome: 'ok' })
  assert.deepEqual(conflict.map(({ line }: { line: number }) => line).sort(), [2, 4])
  assert.equal(subhistory.length, 2)
  assert.equal(status, 1)
})

const malformed: Readonly<Record<string, readonly [lines: readonly (object | string)[], reason: RegExp]>> = {
  'not JSON': [[header, '{"process": 0,'], /^line 2: is not JSON/],
  'not an object': [[header, '[]'], /^line 2: is not a JSON object/],
  empty: [[''], /^line 1: there is no header/],
  'unknown model': [[{ model: 'queue' }], /^line 1: the header’s model is "queue"/],
  'strict that is no truth value': [[{ ...header, strict: 'yes' }], /^line 1: strict/],
  'unknown type': [[header, { process: 0, type: 'done', f: 'read' }], /^line 2: type is "done"/],
  'no process': [[header, { type: 'invoke', f: 'read' }], /^line 2: process/],
  'completion of nothing': [
    [header, { process: 0, type: 'ok', f: 'read', value: 0 }],
    /^line 2: process 0 completes what it did not invoke/,
  ],
  'invoked twice': [
    [header, { process: 0, type: 'invoke', f: 'read' }, '', { process: 0, type: 'invoke', f: 'read' }],
    /^line 4: .* line 2 is open/,
  ],
  'completed as something else': [
    [header, { process: 0, type: 'invoke', f: 'read' }, { process: 0, type: 'ok', f: 'write' }],
    /^line 3: completes "read" as "write"/,
  ],
  'unknown f': [[header, ...call(0, 'increment', 1, 1)], /^line 2: the model cas-register does not know "increment"/],
  'a cas without a pair': [[header, ...call(0, 'cas', 1, 1)], /^line 2: the value of a cas is not \[old, new\]/],
  'a write without a value': [[header, { process: 0, type: 'invoke', f: 'write' }], /^line 2: a write names no value/],
}

test('what is no history is unknown, with the line and the reason; the others are judged all the same', () => {
  for (const [name, [lines, reason]] of Object.entries(malformed)) {
    const { status, lines: told, stderr } = check(file('bad.jsonl', ...lines), good)
    assert.equal(told[0].linearizable, 'unknown', name)
    assert.match(told[0].witness.reason, reason, name)
    assert.equal(told[1].linearizable, true, name)
    assert.deepEqual([status, stderr], [3, ''], name)
  }
})

test('a file that is not there is unknown; a guilty one weighs more', () => {
  const { status, lines } = check('nowhere.jsonl', stale)
  assert.match(lines[0].witness.reason, /^cannot be read: ENOENT/)
  assert.equal(status, 1)
})

test('wrong arguments are told on stderr with the usage', () => {
  for (const args of [[], ['--limit', 'soon', good], ['--fast', good]]) {
    const { status, stdout, stderr } = check(...args)
    assert.match(stderr, /usage: jepsen-like\/check/)
    assert.deepEqual([status, stdout], [64, ''])
  }
})
