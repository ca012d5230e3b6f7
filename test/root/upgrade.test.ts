/**
 * The whole software of a node is replaced while its service is asked all the time; and what the service manager keeps stands by.
 *
 * needs: resource-agents nginx-light
 */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { pause, waitFor } from '../../scripts/lib/http.js'
import { freePort, mainScript } from '../../scripts/lib/lab.js'
import type { Role } from '../../scripts/lib/power.js'
import { type LoopbackLab, names, raiseLoopback } from '../scripts/loopback-lab.js'
import { ServiceClient } from '../scripts/service-client.js'

const patience = 60_000
/** Of each kind. */
const clientCount = 8
const roles: readonly Role[] = ['guardian', 'daemon', 'monitor']
const run = promisify(execFile)

describe('an upgrade', () => {
  let loopback: LoopbackLab

  before(async () => {
    loopback = await raiseLoopback(50)
  })
  after(() => loopback?.close())
  afterEach(() => assert.deepEqual(loopback.doubles(), [], 'no instant with two copies in the journal of the service'))

  const configOf = (node: string): string => join(loopback.lab.home, node, 'node.yaml')
  const upgrade = (node: string) => run(process.execPath, [mainScript, 'upgrade', '--config', configOf(node)], { timeout: 120_000 })
  const pidsOf = (node: string) => Object.fromEntries(roles.map((role) => [role, loopback.lab.power.get(node)?.pidsIn(role) ?? []]))

  test('of every node, one after the other, that of the service among them: no request fails, the grant stays, nobody is fenced', async (context) => {
    const holder = await loopback.settled()
    const client = new ServiceClient(loopback.url)
    for (const node of names) await replaceAll(node)
    const after_ = await loopback.settled()
    await client.close()
    context.diagnostic(`${client.succeeded} requests, slowest ${client.slowest} ms`)
    assert.deepEqual(after_, holder, 'the same boot holds the same grant')
    assert.deepEqual(client.failures, [])
    assert.ok(client.succeeded > 100)
    assert.equal(loopback.copies().length, 1, 'one copy ran all the time')
    const { body } = await loopback.api('GET', '/v1/cases')
    assert.deepEqual(body.cases, [])
  })

  test('under load: nginx answers every request, on the same connections, while the whole software of its node is replaced, and the leader’s then', async (context) => {
    await loopback.settled()
    const leader = String((await loopback.api('GET', '/v1/status')).body.leader)
    const node = names.find((name) => name !== leader) as string
    const { url, pidFile, resources } = await nginx(join(loopback.lab.home, 'nginx'))
    // No other node may run it: they are of one kernel here, and the agent of each would find the process of this one.
    const put = await loopback.api('PUT', '/v1/groups/nginx', { nodes: [node], resources })
    assert.equal(put.status, 201, JSON.stringify(put.body))
    const shown = async () => (await loopback.api('GET', '/v1/groups/nginx')).body
    const seen = async () => {
      await waitFor('nginx to be up', patience, async () => (await shown()).state === 'ONLINE')
      return { group: await shown(), master: readFileSync(pidFile, 'utf8') }
    }
    const keeping: ServiceClient[] = []
    const renewing: ServiceClient[] = []
    const all = () => [...keeping, ...renewing]
    const closed = () => Promise.all(all().map((client) => client.close()))
    context.after(async () => {
      await closed()
      const { body } = await loopback.api('DELETE', '/v1/groups/nginx?wait=10s')
      assert.equal(body.status, 'done', JSON.stringify(body))
    })
    const before = await seen()
    for (let at = 0; at < clientCount; at++) {
      keeping.push(new ServiceClient(url, { pauseMs: 5, patienceMs: patience, keepsConnection: true, below: `/keeps/${at}` }))
      renewing.push(new ServiceClient(url, { pauseMs: 10, patienceMs: patience, below: `/renews/${at}` }))
    }
    await answered(all())
    for (const replaced of [node, leader]) {
      await replaceAll(replaced)
      await answered(all())
    }
    await loopback.settled()
    const after = await seen()
    await closed()
    const slowest = Math.max(...all().map((client) => client.slowest))
    context.diagnostic(`${sum(keeping)} requests over ${clientCount} connections, ${sum(renewing)} over one each, slowest ${slowest} ms`)
    const failures = all().flatMap((client) => client.failures)
    assert.deepEqual(failures, [])
    assert.ok(all().every(({ succeeded }) => succeeded > 100))
    const connections = keeping.map((client) => client.connections)
    assert.deepEqual(connections, Array(clientCount).fill(1), 'no connection was lost, not even one that was idle')
    assert.ok(renewing.every((client) => client.connections === client.succeeded))
    assert.deepEqual(after, before, 'the same process under the same grant, and no failure was counted')
    assert.deepEqual((await loopback.api('GET', '/v1/cases')).body.cases, [])
  })

  test('does not begin where the node is not well', async () => {
    const { node } = await loopback.settled()
    const other = names.find((name) => name !== node) as string
    const supply = loopback.lab.power.get(other)
    await supply?.off()
    await assert.rejects(upgrade(other), (error: { readonly code?: number; readonly stderr?: string }) => {
      assert.equal(error.code, 70)
      assert.match(String(error.stderr), /CONFLICT: nothing was touched, for the node is not well/)
      return true
    })
    await supply?.on()
    await loopback.settled()
  })

  test('a daemon whose successor cannot even load goes on, and says why', async () => {
    const { node } = await loopback.settled()
    const config = readFileSync(configOf(node), 'utf8')
    const before = pidsOf(node)
    const log = () => readFileSync(join(loopback.lab.home, node, 'log/daemon.log'), 'utf8')
    writeFileSync(configOf(node), `${config}\nnonsense: true\n`)
    try {
      process.kill(before.daemon?.[0] as number, 'SIGHUP')
      await waitFor('it to say so', patience, async () =>
        /no other daemon takes the place of this one, which goes on: .*status 70/.test(log()),
      )
    } finally {
      writeFileSync(configOf(node), config)
    }
    await loopback.settled()
    assert.deepEqual(pidsOf(node), before)
  })

  test('an end in the middle of it is the end of all', async () => {
    const { node } = await loopback.settled()
    const other = names.find((name) => name !== node) as string
    const supply = loopback.lab.power.get(other)
    // Else it would be cut off for its silence, and switched on again.
    const maintenance = (body: object) => loopback.api('POST', `/v1/nodes/${other}/maintenance`, body, node)
    assert.equal((await maintenance({ for: '10m', reason: 'a test' })).status, 200)
    for (const after of [0, 250]) {
      const { daemon, guardian } = pidsOf(other)
      process.kill(daemon?.[0] as number, 'SIGHUP')
      await pause(after)
      process.kill(guardian?.[0] as number, 'SIGTERM')
      const isOver = async () => roles.every((role) => supply?.pidsIn(role).length === 0)
      await waitFor(`nothing of it to be left, ${after} ms after`, patience, isOver)
      await pause(1_500) // One that was left would have started a guardian by now.
      assert.ok(await isOver(), `${after} ms: ${JSON.stringify(pidsOf(other))}`)
      await supply?.on()
      await loopback.settled()
    }
    assert.equal((await maintenance({ end: true })).status, 200)
  })

  test('a guardian of the service manager beside one that guards stands by, ends with it, and passes on what it is told', async () => {
    const { node } = await loopback.settled()
    const other = names.find((name) => name !== node) as string
    const supply = loopback.lab.power.get(other)
    const second = await standBy(other)
    const [guards] = supply?.pidsIn('guardian').filter((pid) => pid !== second.pid) ?? []
    process.kill(guards as number, 'SIGKILL')
    assert.equal(await second.ended, 75, 'the service manager starts the next one')
    await waitFor('the daemon to have started another', patience, async () => supply?.pidsIn('guardian').length === 1)
    await waitFor('it to have let go of the files of the daemon that started it', patience, async () => {
      const [pid] = supply?.pidsIn('guardian') ?? []
      const open = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
      return open.every((path) => !path.startsWith(join(loopback.lab.home, other, 'data')))
    })
    await loopback.settled()

    const third = await standBy(other)
    third.tell('SIGTERM')
    assert.equal(await third.ended, 0, 'the node has ended in order, and is not to be started again')
    await waitFor('nothing of it to be left', patience, async () => roles.every((role) => supply?.pidsIn(role).length === 0))
    await supply?.on()
    await loopback.settled()
  })

  /** The software of a node that is well. */
  async function replaceAll(node: string): Promise<void> {
    const old = pidsOf(node)
    const { stdout } = await upgrade(node)
    for (const role of roles) {
      assert.match(stdout, new RegExp(`^${role}: pid ${old[role]?.[0]} has made room for \\d+`, 'm'))
      assert.equal(pidsOf(node)[role]?.length, 1, `one ${role} of ${node}`)
      assert.notDeepEqual(pidsOf(node)[role], old[role])
    }
  }

  /** As a service manager starts it. */
  async function standBy(node: string) {
    const child = spawn(process.execPath, [mainScript, 'guardian', '--config', configOf(node)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const ended = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)))
    let said = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    await waitFor('it to stand by', patience, async () => said.includes('standing by'))
    return { pid: child.pid, ended, tell: (signal: NodeJS.Signals) => child.kill(signal) }
  }
})

const sum = (clients: readonly ServiceClient[]): number => clients.reduce((total, { succeeded }) => total + succeeded, 0)

/** Each of them ten times from now on. */
async function answered(clients: readonly ServiceClient[]): Promise<void> {
  const before = clients.map(({ succeeded }) => succeeded)
  await waitFor('every client to be answered', patience, async () =>
    clients.every(({ succeeded }, at) => succeeded >= (before[at] as number) + 10),
  )
}

/** One that answers with the path it was asked for, and never closes a connection by itself. */
async function nginx(folder: string) {
  const address = '127.84.50.101'
  const port = await freePort([address], 8_180)
  const configfile = join(folder, 'nginx.conf')
  const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join(' ')
  mkdirSync(folder)
  writeFileSync(
    configfile,
    `pid ${folder}/nginx.pid; error_log ${folder}/error.log; events {}
     http { access_log off; ${folders} keepalive_requests 100000000; keepalive_timeout 1h;
     server { listen ${address}:${port}; location / { return 200 "$request_uri"; } } }`,
  )
  const url = `http://${address}:${port}`
  const web = {
    type: 'ocf:heartbeat:nginx',
    parameters: { configfile, port: String(port), status10url: `${url}/well`, status10regex: 'well' },
    probe: { interval: '500ms', timeout: '20s' },
    probeDeep: { interval: '1s', timeout: '20s' },
  }
  return { url, pidFile: join(folder, 'nginx.pid'), resources: { web } }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return '' // It was closed meanwhile.
  }
}
