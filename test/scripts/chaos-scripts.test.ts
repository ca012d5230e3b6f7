/** The chaos scripts for users' clusters, and the drills, against a cluster on loopback; the ways to hosts are played by this machine. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { pause, waitFor } from '../../scripts/lib/http.js'
import { projectRoot } from '../../scripts/lib/lab.js'
import type { Role } from '../../scripts/lib/power.js'
import { runCli } from '../../src/cli/index.js'
import { type LoopbackLab, names, raiseLoopback } from './loopback-lab.js'

const folder = join(projectRoot, 'scripts/chaos')
const patience = 60_000
const scripts = [
  'kill-process',
  'pause-process',
  'cut-link',
  'lose-packets',
  'fill-disk',
  'jump-clock',
  'burn-cpu',
  'flood-api',
  'fence-node',
  'check-events',
]

interface Ran {
  readonly status: number | null
  readonly out: string
  readonly error: string
}

function run(script: string, ...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const child = spawn(join(folder, script), args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [out, error] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      error += text
    })
    child.once('exit', (status) => setTimeout(() => resolve({ status, out, error }), 50))
  })
}

test('each script says what it does and how it is undone, and refuses what it does not know', async () => {
  for (const script of scripts) {
    const help = await run(script, '--help')
    assert.deepEqual([script, help.status, help.error], [script, 0, ''])
    assert.match(help.out, new RegExp(`^${script} `), script)
    assert.match(help.out, /undo/, script)
    assert.equal((await run(script)).status, 64, script)
    assert.equal(spawnSync('sh', ['-n', join(folder, script)]).status, 0, script)
  }
  for (const [script, ...args] of [
    ['kill-process', 'n1', '--rule', 'daemon'],
    ['kill-process', 'n1', '--role', 'king'],
    ['kill-process', 'n1', '--signal', 'STOP'],
    ['cut-link', 'n1', '--peer', 'n2'],
    ['pause-process', 'n1', '--for', 'long'],
    ['cut-link', 'n1', '--peer', '$(reboot)'],
    ['cut-link', 'n1;reboot'],
    ['lose-packets', 'n1', '--percent', '101'],
    ['jump-clock', 'n1', '--by', 'far'],
    ['check-events', 'n1'],
  ] as const) {
    const refused = await run(script, ...args)
    assert.equal(refused.status, 64, `${script} ${args.join(' ')}`)
    assert.match(refused.error, new RegExp(`^${script}: `))
  }
})

test('what is sent to a host is a program that a shell can read', async () => {
  for (const script of ['kill-process', 'pause-process', 'cut-link', 'lose-packets', 'fill-disk', 'jump-clock', 'burn-cpu']) {
    for (const undo of [[], ['--undo']]) {
      const ran = await run(script, 'n1', '--on', 'sh -n -c', ...undo)
      assert.deepEqual([script, ran.status, ran.error], [script, 0, ''])
    }
  }
})

test('burn-cpu takes the processors, and gives them back', async () => {
  const burning = (): string => spawnSync('pgrep', ['-f', '[q]uorate-chaos-burner'], { encoding: 'utf8' }).stdout.trim()
  assert.equal((await run('burn-cpu', 'n1', '--programs', '1', '--for', '30', '--on', 'sh -c')).status, 0)
  assert.notEqual(burning(), '')
  assert.equal((await run('burn-cpu', 'n1', '--undo', '--on', 'sh -c')).status, 0)
  await waitFor('them to end', patience, async () => burning() === '')
})

describe('on a cluster', () => {
  let loopback: LoopbackLab
  const here = (node: string): readonly string[] => [node, '--on', 'sh -c', '--config', join(loopback.lab.home, node, 'node.yaml')]

  before(async () => {
    loopback = await raiseLoopback(14)
    // A machine that runs other tests too may take its time to start a daemon.
    assert.equal((await loopback.api('PATCH', '/v1/settings', { lease: '20s' })).status, 200)
  })
  after(() => loopback?.close())

  test('kill-process: the daemon comes back, and the service never stopped', async () => {
    const holder = await loopback.settled()
    const ran = await run('kill-process', ...here(holder.node), '--role', 'daemon')
    assert.equal(ran.status, 0, ran.error)
    assert.match(ran.out, new RegExp(`^${holder.node}: killed daemon, pid \\d+`))
    assert.deepEqual(await loopback.settled(), holder)
    const nobody = await run('kill-process', 'n1', '--on', 'sh -c', '--config', '/nowhere/node.yaml')
    assert.equal(nobody.status, 1)
    assert.match(nobody.error, /no daemon of n1 with \/nowhere\/node\.yaml was found/)
  })

  test('pause-process takes itself back, and --undo does so at once', async () => {
    const holder = await loopback.settled()
    const other = names.find((name) => name !== holder.node) as string
    const state = (): string => stateOf(other, 'monitor')
    assert.equal((await run('pause-process', ...here(other), '--role', 'monitor', '--for', '1')).status, 0)
    assert.equal(state(), 'T')
    await waitFor('it to go on by itself', patience, async () => state() !== 'T')
    assert.equal((await run('pause-process', ...here(other), '--role', 'monitor', '--for', '50')).status, 0)
    assert.equal(state(), 'T')
    assert.equal((await run('pause-process', ...here(other), '--role', 'monitor', '--undo')).status, 0)
    assert.notEqual(state(), 'T')
    await loopback.settled()
  })

  test('flood-api: the API answers others all the while', async () => {
    const flooding = run('flood-api', loopback.lab.url('n1'), '--connections', '60', '--for', '4')
    await pause(1_500)
    for (let at = 0; at < 10; at++) assert.equal((await loopback.api('GET', '/v1/status', undefined, 'n1')).status, 200)
    assert.equal((await flooding).status, 0)
    await loopback.settled()
  })

  test('drill move: there and back, with the proofs that the events show', async () => {
    const holder = await loopback.settled()
    const ran = await quorate('drill', 'move', 'web', '--back')
    assert.equal(ran.code, 0, ran.out + ran.error)
    assert.match(ran.out, /^drill move web: PASSED after \d+ ms/)
    assert.match(ran.out, /ok +web was granted only after its former holder was proved stopped +2 grants/)
    assert.equal((await loopback.settled()).node, holder.node)
    assert.deepEqual(loopback.doubles(), [])
  })

  test('drill kill: a power-off, a takeover, a return', async () => {
    const holder = await loopback.settled()
    const other = names.find((name) => name !== holder.node) as string
    const wrong = await quorate('drill', 'kill', holder.node, '--confirm', other)
    assert.equal(wrong.code, 1)
    assert.match(wrong.out, /no drill: --confirm names/)
    const own = await quorate('--url', loopback.lab.url(holder.node), 'drill', 'kill', holder.node, '--confirm', holder.node)
    assert.match(own.out, /ask another node/)
    const ran = await quorate('--url', loopback.lab.url(other), '-o', 'json', 'drill', 'kill', holder.node, '--confirm', holder.node)
    const report = JSON.parse(ran.out)
    assert.equal(report.passed, true, ran.out)
    assert.equal(ran.code, 0)
    assert.ok(
      report.steps.some(({ kind }: { kind: string }) => kind === 'group.proved' || kind === 'group.released'),
      ran.out,
    )
    assert.notEqual((await loopback.settled()).node, holder.node)
    assert.deepEqual(loopback.doubles(), [])
  })

  test('a drill is not begun where somebody is missing', async () => {
    const holder = await loopback.settled()
    const other = names.find((name) => name !== holder.node) as string
    await loopback.lab.power.get(other)?.off()
    await waitFor('it to be missed', patience, async () => {
      const { nodes } = (await loopback.api('GET', '/v1/status', undefined, holder.node)).body as {
        nodes?: { name: string; state: string }[]
      }
      return nodes?.find(({ name }) => name === other)?.state !== 'ONLINE'
    })
    const ran = await quorate('--url', loopback.lab.url(holder.node), 'drill', 'move', 'web')
    assert.equal(ran.code, 1, ran.out)
    assert.match(ran.out, /^no drill: /)
    await loopback.settled()
  })

  test('check-events finds nothing wrong after all this', async () => {
    await loopback.settled()
    const ran = await run('check-events', loopback.lab.url('n1'))
    assert.equal(ran.status, 0, ran.out + ran.error)
    assert.match(ran.out, /^\d+ events, [1-9]\d* grants, [1-9]\d* proofs, 0 wrong$/m)
  })

  async function quorate(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly error: string }> {
    let [out, error] = ['', '']
    const terminal = {
      out: (text: string) => {
        out += text
      },
      error: (text: string) => {
        error += text
      },
    }
    const code = await runCli(['node', 'quorate', ...args], terminal, { QUORATE_URL: loopback.lab.url('n1') })
    return { code, out, error }
  }

  /** As the kernel has it: T is stopped. */
  function stateOf(node: string, role: Role): string {
    const [pid] = loopback.lab.power.get(node)?.pidsIn(role) ?? []
    return pid === undefined || !existsSync(`/proc/${pid}/stat`)
      ? ''
      : ((/\) (\w) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [])[1] ?? '')
  }
})
