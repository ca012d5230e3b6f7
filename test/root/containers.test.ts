/**
 * A container of podman as docs/examples has it, on a node of its own: nothing of it outlives a stop, whoever was killed before.
 *
 * needs: podman crun busybox-static
 */
import assert from 'node:assert/strict'
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { readExample } from '../../scripts/lib/examples.js'
import { Power } from '../../scripts/lib/power.js'
import { openContainment } from '../../src/io/processes/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { BenchCluster } from '../api/bench-api.js'

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url))
/** Of podman: images, containers, locks. Short, for its sockets have paths of at most 108 characters. */
const store = mkdtempSync(join(tmpdir(), 'q-pod-'))
const program = join(store, 'bin', 'podman')
/** In the command line of all that runs in the container. */
const mark = basename(store)
let bench: BenchCluster
let power: Power
const port = 20_000 + Math.floor(Math.random() * 20_000)

const trial = openContainment({ preference: 'auto', key: `containers-${process.pid}`, node: 'n1' })
trial.remove()
const skip = trial.place.kind === 'sweep' ? 'it takes cgroups' : false

before(async () => {
  if (skip !== false) return
  bench = await BenchCluster.of(['n1'], { emergencyStop: '5s' })
  installPodman()
  await makeImage()
  const home = join(bench.folder, 'n1')
  const argv = [process.execPath, main, 'guardian', '--config', bench.configOf('n1')]
  power = new Power({ node: 'n1', home, runDir: join(home, 'run'), argv })
  await power.on()
  await bench.until('the node to be well', async () => {
    const { body } = await bench.ask('GET', '/v1/status').catch(() => ({ body: undefined }))
    return body?.nodes?.[0]?.state === 'ONLINE' && body.nodes[0].guarded === true
  })
  const put = await bench.ask('PUT', '/v1/groups/web?validate=false', { body: definition() })
  assert.equal(put.status, 201, put.text)
  await answers()
})
after(async () => {
  if (skip !== false) return
  await power.clean()
  await bench.close()
  await podman('rm', '--force', '--all', '--time', '0').catch(() => podman('rm', '--force', '--all', '--time', '0'))
  rmSync(store, { recursive: true, force: true })
})

/** Its files and locks in a folder of the test, its mounts, and the tree of cgroups as Debian has it, in a mount namespace of each call. */
function installPodman() {
  const folders = `--root ${store}/root --runroot ${store}/run --tmpdir ${store}/tmp --runtime-flag root=${store}/crun`
  const kinds = '--runtime crun --storage-driver vfs --cgroup-manager cgroupfs --events-backend none --log-level error'
  const inside = `mount -t cgroup2 none /sys/fs/cgroup && exec /usr/bin/podman ${folders} ${kinds} "$@"`
  mkdirSync(join(store, 'bin'))
  writeFileSync(program, `#!/bin/sh\nexec unshare --mount sh -c '${inside}' sh "$@"\n`, { mode: 0o755 })
  // Its usual limits are higher than a container that the machine may run in allows.
  const limits = 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]'
  writeFileSync(join(store, 'containers.conf'), `[containers]\n${limits}\n[engine]\nlock_type = "file"\n`)
}

const surroundings = { PATH: `${store}/bin:/usr/sbin:/usr/bin:/sbin:/bin`, CONTAINERS_CONF: join(store, 'containers.conf') }

async function podman(...args: string[]): Promise<string> {
  return (await promisify(execFile)(program, args, { env: surroundings, timeout: 20_000 })).stdout.trim()
}

/** busybox, with a shell as its first process that ends when asked, and a web server. */
async function makeImage() {
  const folder = join(store, 'image')
  for (const name of ['bin', mark, 'dev', 'proc', 'sys', 'run', 'tmp', 'etc']) mkdirSync(join(folder, name), { recursive: true })
  cpSync('/bin/busybox', join(folder, 'bin', 'busybox'))
  for (const name of ['sh', 'httpd', 'sleep', 'wget']) symlinkSync('busybox', join(folder, 'bin', name))
  writeFileSync(join(folder, mark, 'index.html'), 'from the container')
  const service = `trap 'echo told to end; exit 0' TERM; httpd -f -p 127.0.0.1:${port} -h /${mark} & echo it begins; while :; do sleep 0.2; done`
  writeFileSync(join(folder, 'service'), service)
  chmodSync(folder, 0o755)
  execFileSync('tar', ['-C', folder, '-cf', join(store, 'image.tar'), '.'])
  await podman('import', '--change', `CMD ["/bin/sh", "/service", "${mark}"]`, join(store, 'image.tar'), 'registry.example/web:1')
}

/** The example, with what this machine has in the place of its addresses. */
function definition() {
  const instead = {
    '[n1, n2]': '[n1]',
    '10.0.0.130/24': '127.84.63.130',
    '127.0.0.1:80': `127.0.0.1:${port}`,
    'readyPort: 80': `readyPort: ${port}`,
  }
  // biome-ignore lint/suspicious/noExplicitAny: a definition as people write it.
  const written = readExample('podman.yaml', instead) as any
  const { web } = written.resources
  web.parameters.environment = surroundings
  web.probeDeep = { interval: '1s', timeout: '10s' }
  web.restart = { max: 20, window: '15m' }
  return written
}

const cell = () => {
  const { key } = openRunFolder(join(bench.folder, 'n1', 'run'))
  return openContainment({ preference: 'auto', key, node: 'n1' }).cell('web@web', {})
}

/** Live processes that have to do with the container, wherever they are: podman and its conmon by their command lines, the rest by its own. */
function processes(): readonly { readonly pid: number; readonly name: string }[] {
  return readdirSync('/proc').flatMap((name) => {
    try {
      if (!/^\d+$/.test(name) || !readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(mark)) return []
      return [{ pid: Number(name), name: readFileSync(`/proc/${name}/comm`, 'utf8').trim() }]
    } catch {
      return [] // It has ended meanwhile.
    }
  })
}

const pidOf = (name: string) => processes().find((found) => found.name === name && cell().pids('service').includes(found.pid))?.pid
const first = () => podman('inspect', '--format', '{{.State.Pid}}', 'web').then(Number)

const says = () =>
  fetch(`http://127.0.0.1:${port}/`).then(
    (answer) => answer.text(),
    () => '',
  )

const shown = async () => (await bench.ask('GET', '/v1/groups/web')).body

const failures = async (): Promise<readonly { readonly event: string }[]> => (await shown()).failures.n1 ?? []

async function answers() {
  await bench.until('the group to be up', async () => (await shown()).state === 'ONLINE' && (await says()) === 'from the container')
}

async function nothingIsLeft() {
  await bench.until('its processes to be gone', () => processes().length === 0)
  assert.equal(await says(), '')
}

/** Waits for the failure of what was done to it, and for the restart that follows. A deep probe may be quicker than the news of a death. */
async function restartsAfter(does: () => void, ...events: readonly string[]) {
  const before = await first()
  const known = (await failures()).length
  does()
  await bench.until('its failure', async () => (await failures()).length > known)
  const { event = '' } = (await failures())[known] ?? {}
  assert.ok(events.includes(event), event)
  await bench.until('another container', async () => (await first().catch(() => before)) !== before)
  await answers()
}

function kill(pid: number | undefined, signal: NodeJS.Signals = 'SIGKILL') {
  assert.ok(pid !== undefined && pid > 1)
  process.kill(pid, signal)
}

/** Of several, one may end with another before its turn has come. */
function killWhereItIs(pid: number): void {
  try {
    kill(pid)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

test('all of its processes are in the cell of the resource', { skip }, async () => {
  const names = () => processes().map(({ name }) => name)
  await bench.until('no probe to be under way', () => names().length === 4)
  assert.deepEqual(names().sort(), ['conmon', 'httpd', 'podman', 'sh'])
  const held = new Set(cell().pids('service'))
  assert.deepEqual(
    processes().filter(({ pid }) => !held.has(pid)),
    [],
  )
  assert.ok(held.has(await first()))
})

test('the end of its first process, and of podman itself, is noticed, and it is started again', { skip }, async () => {
  const pid = await first()
  await restartsAfter(() => kill(pid), 'died', 'probe-failed')
  await restartsAfter(() => kill(pidOf('podman')), 'died', 'probe-failed')
})

test('what is left of it after a kill of its whole cell does not stand in the way of the next one', { skip }, async () => {
  await restartsAfter(
    () =>
      cell()
        .pids('service')
        .forEach((pid) => killWhereItIs(pid)),
    'died',
  )
})

test('without conmon it goes on, and its end is found by the deep probe', { skip }, async () => {
  const pid = await first()
  kill(pidOf('conmon'))
  await bench.until('conmon to be gone', () => pidOf('conmon') === undefined)
  assert.deepEqual([await says(), await first(), (await shown()).state], ['from the container', pid, 'ONLINE'])
  await restartsAfter(() => kill(pid), 'probe-failed')
})

test('it outlives the monitor', { skip }, async () => {
  const pid = await first()
  const [monitor] = power.pidsIn('monitor')
  kill(monitor)
  await bench.until('another monitor', () => power.pidsIn('monitor').some((now) => now !== monitor))
  await answers()
  assert.equal(await first(), pid)
})

for (const obstacle of ['', ', also where podman hangs'])
  test(`the emergency stop leaves nothing${obstacle}, and it runs again once the lease is back`, { skip }, async () => {
    if (obstacle !== '') kill(pidOf('podman'), 'SIGSTOP')
    const [daemon] = power.pidsIn('daemon')
    kill(daemon, 'SIGSTOP')
    const folder = openRunFolder(join(bench.folder, 'n1', 'run'))
    await bench.until('the end of the emergency stop', () => ['stopped', 'cannot-verify'].includes(folder.readEmergency()?.phase ?? ''))
    assert.deepEqual([folder.readEmergency()?.phase, processes(), folder.openTokens().size], ['stopped', [], 0])
    try {
      kill(daemon, 'SIGCONT')
    } catch {
      // It was ended meanwhile, and another one runs.
    }
    await answers()
  })

test('a stop in order leaves no process and no container, and its words are in the log', { skip }, async () => {
  const stopped = await bench.ask('POST', '/v1/groups/web/offline?wait=60s')
  assert.equal(stopped.body.status, 'done', stopped.text)
  await nothingIsLeft()
  assert.equal(await podman('ps', '--all', '--quiet'), '')
  const log = readFileSync(join(bench.folder, 'n1', 'log', 'web@web.log'), 'utf8')
  assert.match(log, /^it begins$/m)
  assert.match(log, /^told to end$/m)
})
