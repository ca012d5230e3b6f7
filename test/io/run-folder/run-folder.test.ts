import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type BootId, bootInstant, type GroupName, type NodeId, type Token } from '../../../src/base/index.js'
import type { RunRecord } from '../../../src/core/monitor/index.js'
import { agentNotes, openRunFolder, type RunFolder, readBootId } from '../../../src/io/run-folder/index.js'

const boot = 'boot-1' as BootId
const g = 'g' as GroupName
const token = (value: number) => value as Token

let root: string
let count = 0
let folder: RunFolder

before(() => {
  root = mkdtempSync(join(tmpdir(), 'quorate-run-'))
})
after(() => rmSync(root, { recursive: true, force: true }))
beforeEach(() => {
  folder = openRunFolder(join(root, String(++count)))
})

const record = (name: string, ofToken: number): RunRecord => ({
  group: name as GroupName,
  token: token(ofToken),
  sequence: 1,
  node: 'n1' as NodeId,
  boot,
  resources: {},
  containment: { kind: 'sweep', root: 'x' },
  wanted: 'run',
  restartNumber: 0,
  restarting: [],
  progress: {},
})

test('the deadline is read by others, only grows, and belongs to its boot', () => {
  assert.equal(folder.readDeadline(boot), 0)
  const lease = folder.openLease(boot)
  lease.extend(bootInstant(5_000))
  lease.extend(bootInstant(4_000))
  assert.equal(openRunFolder(folder.path).readDeadline(boot), 5_000)
  assert.equal(folder.readDeadline('boot-2' as BootId), 0)
  const next = folder.openLease(boot)
  next.extend(bootInstant(4_500))
  assert.equal(folder.readDeadline(boot), 5_000)
  const other = folder.openLease('boot-2' as BootId)
  other.extend(bootInstant(100))
  assert.equal(folder.readDeadline('boot-2' as BootId), 100)
  for (const file of [lease, next, other]) file.close()
})

for (const [what, text] of [
  ['empty', ''],
  ['garbled', 'x'.repeat(192)],
  ['of a wrong checksum', '00000000 boot-1 99999999999'.padEnd(191).concat('\n')],
] as const) {
  test(`a deadline file that is ${what} counts as passed`, () => {
    writeFileSync(join(folder.path, 'lease'), text)
    assert.equal(folder.readDeadline(boot), 0)
  })
}

test('a deadline is never read torn, however fast it is written by another process', async () => {
  const writer = fork(fileURLToPath(new URL('./lease-writer.js', import.meta.url)), [folder.path, boot], { stdio: 'ignore' })
  let last = 0
  let reads = 0
  const end = performance.now() + 20_000
  while (last < 1_000_000 + 5_000 && performance.now() < end) {
    for (let turn = 0; turn < 1_000; turn++) {
      const read = folder.readDeadline(boot)
      if (read === 0 && last === 0) continue
      assert.ok(read >= last, `${read} after ${last}`)
      last = read
      reads++
    }
    await new Promise((resolve) => setImmediate(resolve))
  }
  writer.kill('SIGKILL')
  assert.ok(reads > 0)
})

test('run records are there until deleted; one that cannot be read still names its group and token', () => {
  folder.writeRecord(record('a', 1))
  folder.writeRecord(record('b', 2))
  writeFileSync(join(folder.path, 'records', 'c@3'), 'garbage')
  writeFileSync(join(folder.path, 'records', 'd@4.77.1.new'), 'half')
  const { readable, unreadable } = folder.readRecords()
  assert.deepEqual(readable.map(({ group }) => group).sort(), ['a', 'b'])
  assert.deepEqual(
    unreadable.map(({ group, token }) => [group, token]),
    [['c', 3]],
  )
  assert.deepEqual([...folder.openTokens()].sort(), [
    ['a', 1],
    ['b', 2],
    ['c', 3],
  ])
  folder.deleteRecord('a' as GroupName, token(1))
  assert.equal(folder.openTokens().size, 2)
})

test('a record whose content is of another group is unreadable', () => {
  folder.writeRecord(record('a', 1))
  rmSync(join(folder.path, 'records', 'b@1'), { force: true })
  writeFileSync(join(folder.path, 'records', 'b@1'), '')
  assert.deepEqual(
    folder.readRecords().unreadable.map(({ group }) => group),
    ['b'],
  )
})

test('a seal is never lowered, holds for older tokens, and holds when it cannot be read', () => {
  const { seals } = folder
  assert.equal(seals.isSealed(g, token(1)), false)
  seals.seal(g, token(5))
  seals.seal(g, token(3))
  assert.deepEqual([seals.isSealed(g, token(5)), seals.isSealed(g, token(6))], [true, false])
  assert.deepEqual([...seals.all()], [[g, 5]])
  writeFileSync(seals.pathOf(g), '9')
  assert.equal(seals.isSealed(g, token(6)), true)
  assert.deepEqual([...seals.all()], [])
})

test('a new boot inherits neither records nor emergencies, but the seals', () => {
  folder.beginBoot(boot)
  folder.writeRecord(record('a', 1))
  folder.seals.seal(g, token(5))
  folder.writeEmergency({ boot, reason: 'r', since: bootInstant(1), tokens: {}, phase: 'stopping' })
  folder.writeAttributes(boot, { score: '5' })
  const note = join(folder.folder(agentNotes), 'Dummy-d.state')
  writeFileSync(note, '')
  folder.beginBoot(boot)
  assert.equal(folder.openTokens().size, 1)
  assert.ok(existsSync(note), 'while the boot lasts, agents find what they noted down')
  assert.deepEqual(folder.readAttributes(boot), { score: '5' })
  folder.beginBoot('boot-2' as BootId)
  assert.ok(!existsSync(note))
  assert.deepEqual(folder.readAttributes('boot-2' as BootId), {})
  assert.equal(folder.openTokens().size, 0)
  assert.equal(folder.readEmergency(), undefined)
  assert.ok(folder.seals.isSealed(g, token(5)))
})

test('sessions are counted per boot', () => {
  assert.deepEqual([folder.nextSession(boot), folder.nextSession(boot), folder.nextSession('boot-2' as BootId)], [1, 2, 1])
})

test('pids are kept with their start time', () => {
  folder.writePid('daemon', { pid: 1, startTime: 2 })
  assert.deepEqual(folder.readPid('daemon'), { pid: 1, startTime: 2 })
  writeFileSync(join(folder.path, 'daemon.pid'), '1')
  assert.equal(folder.readPid('daemon'), undefined)
  folder.clearPid('daemon')
  assert.equal(folder.readPid('daemon'), undefined)
})

test('the boot id is the kernel’s, or of a file; a file that is missing or holds none is refused', () => {
  assert.match(readBootId(), /^[0-9a-f-]{36}$/)
  const bootIdFile = join(folder.path, 'boot-id')
  assert.throws(() => readBootId({ bootIdFile }), { code: 'INVALID' })
  writeFileSync(bootIdFile, 'two words\n')
  assert.throws(() => readBootId({ bootIdFile }), { code: 'INVALID' })
  writeFileSync(bootIdFile, 'n1-boot-7\n')
  assert.equal(readBootId({ bootIdFile }), 'n1-boot-7')
})
