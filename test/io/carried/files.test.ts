/** Files that go with their group: read whole or not at all, put back whole or not at all. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { carriedFileMax } from '../../../src/core/cluster/index.js'
import { putBack, readFileNow } from '../../../src/io/carried/index.js'

let folder: string
let path: string

beforeEach(() => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'quorate-carried-')))
  path = join(folder, 'state')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const bytes = (text: string) => new TextEncoder().encode(text)
const wanted = (of: string, content: Uint8Array, mode = 0o640) => ({
  path: of,
  mode,
  owner: process.getuid?.() ?? 0,
  ownerGroup: process.getgid?.() ?? 0,
  size: content.length,
  sum: createHash('sha256').update(content).digest('hex'),
})

test('a file is read with its mode and owner', async () => {
  writeFileSync(path, 'what it is')
  chmodSync(path, 0o604)
  const now = await readFileNow(path)
  assert.ok(now.kind === 'read')
  assert.equal(new TextDecoder().decode(now.bytes), 'what it is')
  assert.deepEqual([now.mode, now.owner], [0o604, statSync(path).uid])
})

test('a file that changes while it is read is read again: what is read was there at one moment', async () => {
  const whole = (step: number) => String(step % 10).repeat(200_000)
  let step = 0
  writeFileSync(path, whole(step))
  const writing = setInterval(() => writeFileSync(path, whole(++step)), 150)
  try {
    for (let reads = 0; reads < 5; reads++) {
      const now = await readFileNow(path)
      if (now.kind === 'unsteady') continue
      assert.ok(now.kind === 'read')
      const text = new TextDecoder().decode(now.bytes)
      assert.equal(text, text.slice(0, 1).repeat(200_000))
    }
  } finally {
    clearInterval(writing)
  }
})

test('links, folders, pipes and what is too large are refused', async () => {
  const problem = async (of: string) => {
    const now = await readFileNow(of)
    return now.kind === 'problem' ? now.detail : now.kind
  }
  assert.equal(await problem(path), 'missing')
  symlinkSync('/etc/passwd', path)
  assert.match(await problem(path), /symbolic link/)
  mkdirSync(join(folder, 'real'))
  writeFileSync(join(folder, 'real', 'state'), '')
  symlinkSync(join(folder, 'real'), join(folder, 'way'))
  assert.match(await problem(join(folder, 'way', 'state')), /symbolic link/)
  assert.match(await problem(join(folder, 'real')), /no file/)
  writeFileSync(join(folder, 'large'), '')
  truncateSync(join(folder, 'large'), carriedFileMax + 1)
  assert.match(await problem(join(folder, 'large')), /bytes/)
})

test('it is put back as it was left, and nothing else is left behind', async () => {
  const content = bytes('what was left')
  const place = join(folder, 'new', 'folder', 'state')
  await putBack(wanted(place, content), content)
  assert.equal(readFileSync(place, 'utf8'), 'what was left')
  assert.equal(statSync(place).mode & 0o7777, 0o640)
  const later = bytes('and later')
  await putBack(wanted(place, later, 0o600), later)
  assert.equal(readFileSync(place, 'utf8'), 'and later')
  assert.deepEqual(readdirSync(join(folder, 'new', 'folder')), ['state'])
})

test('nothing is put through a link, over a folder, or where it is not what was left', async () => {
  const content = bytes('x')
  symlinkSync(join(folder, 'elsewhere'), path)
  await assert.rejects(putBack(wanted(path, content), content), /symbolic link/)
  mkdirSync(join(folder, 'real'))
  symlinkSync(join(folder, 'real'), join(folder, 'way'))
  await assert.rejects(putBack(wanted(join(folder, 'way', 'state'), content), content))
  await assert.rejects(putBack(wanted(join(folder, 'real'), content), content), /something else is in its place/)
  await assert.rejects(putBack(wanted(join(folder, 'state2'), bytes('y')), content), /not what was left/)
  assert.deepEqual(readdirSync(join(folder, 'real')), [])
})
