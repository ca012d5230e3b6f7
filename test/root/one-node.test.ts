/** One node under root: how soon its processes are let run, and files that belong to others. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { type OneNode, raiseOneNode } from '../api/one-node.js'

let one: OneNode

before(async () => {
  one = await raiseOneNode()
})
after(() => one.close())

/** proc(5): nice value, real-time priority and policy (SCHED_OTHER 0, SCHED_RR 2, with SCHED_RESET_ON_FORK 0x40000000). */
function scheduling(pid: number) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const [nice, priority, policy] = [16, 37, 38].map((at) => Number(fields[at]))
  return { nice, priority, policy: (policy ?? 0) & 0xff }
}

test('the guardian has real-time priority, daemon and monitor a higher one, and what they start the usual one', async () => {
  const folder = openRunFolder(one.runDir)
  const pidOf = (role: 'guardian' | 'daemon' | 'monitor') => folder.readPid(role)?.pid ?? 0
  await one.bench.until('the guardian to be let before all', () => Promise.resolve(scheduling(pidOf('guardian')).policy === 2))
  assert.deepEqual(scheduling(pidOf('guardian')), { nice: 0, priority: 1, policy: 2 })
  assert.deepEqual(scheduling(pidOf('daemon')), { nice: -15, priority: 0, policy: 0 })
  assert.deepEqual(scheduling(pidOf('monitor')), { nice: -10, priority: 0, policy: 0 })
  const pidFile = join(one.bench.folder, 'pid')
  const resources = { app: { type: 'command', parameters: { run: `echo $$ > ${pidFile}; exec sleep 1000` } } }
  assert.equal((await one.bench.ask('PUT', '/v1/groups/usual', { body: { nodes: ['n1'], resources } })).status, 201)
  assert.equal((await one.bench.ask('GET', '/v1/groups/usual?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  assert.deepEqual(scheduling(Number(readFileSync(pidFile, 'utf8'))), { nice: 0, priority: 0, policy: 0 })
  assert.equal((await one.bench.ask('DELETE', '/v1/groups/usual?wait=60s')).body.status, 'done')
})

test('a file of another user comes back with its owner, its mode and every byte', async () => {
  const folder = join(realpathSync(one.bench.folder), 'carried')
  mkdirSync(folder)
  const path = join(folder, 'state')
  const run = `[ -e ${folder}/seed ] || exec sleep 1000; cp ${folder}/seed ${path}; chown 65534:65533 ${path}; chmod 4751 ${path}; rm ${folder}/seed; exec sleep 1000`
  const bytes = Buffer.concat([Buffer.from(Array.from({ length: 256 }, (_, at) => at)), randomBytes(300_000)])
  writeFileSync(join(folder, 'seed'), bytes)
  const body = { nodes: ['n1'], resources: { app: { type: 'command', parameters: { run }, files: [path] } } }
  assert.equal((await one.bench.ask('PUT', '/v1/groups/carries', { body })).status, 201)
  assert.equal((await one.bench.ask('GET', '/v1/groups/carries?until=ONLINE&wait=60s')).body.state, 'ONLINE')
  const isCarried = async () => {
    const { files } = (await one.bench.ask('GET', '/v1/groups/carries/checkpoints')).body
    return files?.[0]?.size === bytes.length && files[0].mode === '04751'
  }
  await one.bench.until('it to be carried', isCarried)
  assert.equal((await one.bench.ask('POST', '/v1/groups/carries/offline?wait=60s')).body.status, 'done')
  rmSync(path)
  assert.equal((await one.bench.ask('POST', '/v1/groups/carries/online?wait=60s')).body.status, 'done')
  const { uid, gid, mode } = statSync(path)
  assert.deepEqual([uid, gid, mode & 0o7777], [65_534, 65_533, 0o4751])
  assert.equal(Buffer.compare(readFileSync(path), bytes), 0)
  assert.equal((await one.bench.ask('DELETE', '/v1/groups/carries?wait=60s')).body.status, 'done')
})
