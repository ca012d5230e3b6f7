/** Checks of this machine itself: what is good, and what each says when it is not. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { look } from '../../../src/io/agents/looks.js'
import { readStat, waitUntil } from '../../../src/io/processes/index.js'

let dir: string
let child: ReturnType<typeof spawn>
/** As /proc/PID/comm has it. */
const comm = `q${process.pid}`.slice(0, 15)

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'quorate-looks-'))
  const program = join(dir, comm)
  execFileSync('cp', ['/bin/sleep', program])
  child = spawn(program, ['1000'], { stdio: 'ignore' })
  await waitUntil(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8').trim() === comm, 5_000)
})
after(() => {
  child.kill('SIGKILL')
  rmSync(dir, { recursive: true, force: true })
})

const good = async (type: string, parameters: Record<string, string | number>) => assert.equal(await look(type, parameters), undefined)
const bad = async (type: string, parameters: Record<string, string | number>, why: RegExp) =>
  assert.match((await look(type, parameters)) ?? 'it is good', why)

test('a process by its pid file: alive, gone, no number, no file', async () => {
  const pidFile = join(dir, 'pid')
  writeFileSync(pidFile, `${child.pid}\n`)
  await good('process', { pidFile })
  const ended = spawn('/bin/true')
  await new Promise((resolve) => ended.once('exit', resolve))
  writeFileSync(pidFile, ` ${ended.pid} \nmore`)
  await bad('process', { pidFile }, /no process \d+ runs, which .*pid names/)
  writeFileSync(pidFile, 'soon')
  await bad('process', { pidFile }, /holds no process id/)
  await bad('process', { pidFile: join(dir, 'none') }, /ENOENT/)
})

test('a process by its name, and whose it is', async () => {
  await good('process', { name: comm })
  await good('process', { name: comm, user: userInfo().uid })
  await good('process', { name: comm, user: userInfo().username })
  await bad('process', { name: comm, user: 54_321 }, /no process q\d+ runs as 54321/)
  await bad('process', { name: `${comm}x`.slice(-15) }, /no process/)
  await bad('process', { name: comm, user: 'no-such-user' }, /has no user no-such-user/)
})

test('a process that nobody has reaped does not run', async () => {
  // A shell might reap it; what the shell then becomes does not.
  const go = join(dir, 'go')
  const script = `while [ ! -e ${go} ]; do sleep 0.01; done & echo $!; exec sleep 1000`
  const parent = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const pid = await new Promise<string>((resolve) => parent.stdout.once('data', (text) => resolve(String(text).trim())))
    const pidFile = join(dir, 'zombie')
    writeFileSync(pidFile, pid)
    await good('process', { pidFile })
    assert.ok(await waitUntil(() => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n', 5_000))
    writeFileSync(go, '')
    assert.ok(await waitUntil(() => readStat(Number(pid))?.state === 'Z', 5_000))
    await bad('process', { pidFile }, /no process/)
  } finally {
    parent.kill('SIGKILL')
  }
})

test('a file: there, fresh, with its text', async () => {
  const path = join(dir, 'file')
  await bad('file', { path }, /ENOENT/)
  writeFileSync(path, `${'x'.repeat(100_000)} ready`)
  await good('file', { path })
  await good('file', { path, maxAge: '1m', contains: ' ready' })
  await bad('file', { path, contains: 'steady' }, /does not contain/)
  const hourAgo = Date.now() / 1_000 - 3_600
  utimesSync(path, hourAgo, hourAgo)
  await bad('file', { path, maxAge: '1m' }, /last changed 36\d\ds ago, 1m are allowed/)
  await good('file', { path: dir })
  await bad('file', { path: dir, contains: 'x' }, /is no file/)
  execFileSync('mkfifo', [join(dir, 'pipe')])
  await bad('file', { path: join(dir, 'pipe'), contains: 'x' }, /is no file/)
})

test('room on a disk, in bytes and as a share', async () => {
  await good('disk-space', { path: dir, minFree: 1 })
  await good('disk-space', { path: dir, minFree: '0.0001%' })
  await bad('disk-space', { path: dir, minFree: '8000TiB' }, /are free at .*, 8000TiB should be/)
  await bad('disk-space', { path: dir, minFree: '99.9999%' }, /% are free at .*, 99.9999% should be/)
  await bad('disk-space', { path: join(dir, 'none'), minFree: '1%' }, /ENOENT/)
})

test('a network device: there, up, with carrier', async () => {
  await good('link', { device: 'lo' })
  await bad('link', { device: 'none0' }, /there is no network device none0/)
})
