/** The preloaded disk and clock, with real programs. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { buildShim, flipBit, Shim } from './shim.js'

const home = mkdtempSync(join(tmpdir(), 'quorate-shim-'))
after(() => rmSync(home, { recursive: true, force: true }))
const library = buildShim(join(resolve(import.meta.dirname, '../../..'), 'jepsen-like/cluster/shim.c'), home)
const skip = library === undefined ? 'there is no C compiler' : false
let disks = 0

function disk(): { readonly shim: Shim; readonly path: string } {
  const folder = join(home, `disk-${++disks}`)
  const shim = new Shim(library as string, mkdtempSync(join(home, 'node-')), folder)
  return { shim, path: join(folder, 'file') }
}

/** A program that has `fs` and the path, and what it printed. */
function run(shim: Shim, path: string, program: string): string {
  const text = `import fs from 'node:fs'; const path = process.argv[1]; ${program}`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text, path], {
    encoding: 'utf8',
    env: { ...process.env, ...shim.environment },
  })
  assert.equal(status, 0, stderr)
  return stdout
}

test('what was not synced is lost with the power, and what was synced stays', { skip }, () => {
  const { shim, path } = disk()
  run(
    shim,
    path,
    `const f = fs.openSync(path, 'w+'); fs.writeSync(f, 'aaaaaaaaaa'); fs.fdatasyncSync(f);
     fs.writeSync(f, 'BBB', 2); fs.writeSync(f, 'CC', 9); fs.writeSync(f, 'D', 3)`,
  )
  assert.equal(readFileSync(path, 'utf8'), 'aaBDBaaaaCC')
  assert.equal(shim.losePower(), 3)
  assert.equal(readFileSync(path, 'utf8'), 'aaaaaaaaaa')
  assert.equal(shim.losePower(), 0, 'nothing is lost twice')
})

test('a file is found by what it is, also under another name; a file that was never synced is empty', { skip }, () => {
  const { shim, path } = disk()
  run(
    shim,
    path,
    `const f = fs.openSync(path, 'w'); fs.writeSync(f, 'old'); fs.fsyncSync(f); fs.renameSync(path, path + '.moved');
     fs.writeSync(f, 'new'); fs.appendFileSync(path, 'never synced')`,
  )
  shim.losePower()
  assert.equal(readFileSync(`${path}.moved`, 'utf8'), 'old')
  assert.equal(readFileSync(path, 'utf8'), '')
})

test('asynchronous writes and syncs are seen too', { skip }, () => {
  const { shim, path } = disk()
  run(
    shim,
    path,
    `const f = await fs.promises.open(path, 'w'); await f.write(Buffer.from('one')); await f.datasync(); await f.writev([Buffer.from('two'), Buffer.from('three')]); await f.close()`,
  )
  assert.equal(readFileSync(path, 'utf8'), 'onetwothree')
  shim.losePower()
  assert.equal(readFileSync(path, 'utf8'), 'one')
})

test('syncs and writes fail, or are slow, while told to, and only there', { skip }, () => {
  const { shim, path } = disk()
  const program = `const f = fs.openSync(path, 'w');
    const attempt = (act) => { try { act(); return 'done' } catch (error) { return error.code } }
    const other = fs.openSync(path.replace(/disk-\\d+.file$/, 'elsewhere'), 'w');
    console.log(attempt(() => fs.writeSync(f, 'x')), attempt(() => fs.fsyncSync(f)), attempt(() => { fs.writeSync(other, 'x'); fs.fsyncSync(other) }))`
  shim.set({ writeError: 28 })
  assert.equal(run(shim, path, program), 'ENOSPC done done\n')
  shim.set({ writeError: undefined, syncError: 5 })
  assert.equal(run(shim, path, program), 'done EIO done\n')
  shim.set({ syncError: undefined, syncDelayMs: 300 })
  const took = Number(
    run(shim, path, `const f = fs.openSync(path, 'w'); const t = performance.now(); fs.fsyncSync(f); console.log(performance.now() - t)`),
  )
  assert.ok(took >= 300, `${took}`)
  shim.clear()
  assert.equal(run(shim, path, program), 'done done done\n')
})

test('the wall clock jumps, and the others do not', { skip }, () => {
  const { shim, path } = disk()
  const program = 'console.log(JSON.stringify([Date.now(), process.hrtime.bigint() / 1000000n].map(Number)))'
  const before = JSON.parse(run(shim, path, program))
  shim.set({ clockOffsetMs: -7_200_000 })
  const after_ = JSON.parse(run(shim, path, program))
  assert.ok(before[0] - after_[0] > 7_000_000, 'two hours back')
  assert.ok(after_[1] >= before[1], 'the monotonic clock goes on')
})

test('a bit of what was written is another one, never of the space ahead', () => {
  const path = join(home, 'rot')
  for (const share of [0, 0.5, 0.999]) {
    writeFileSync(path, Buffer.concat([Buffer.from('records'), Buffer.alloc(100)]))
    const flipped = flipBit(path, share)
    assert.ok(flipped !== undefined && flipped.offset < 7)
    const changed = [...readFileSync(path)].filter((byte, at) => byte !== (Buffer.from('records')[at] ?? 0))
    assert.equal(changed.length, 1)
  }
  writeFileSync(path, Buffer.alloc(10))
  assert.equal(flipBit(path, 0.5), undefined)
})
