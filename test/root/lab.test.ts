/**
 * The laboratory: Debian's own agents on three nodes with networks of their own, through every kind of loss.
 *
 * A client on a machine of its own asks through the service's address all the while, and a witness that asks the kernels
 * alone looks for a second copy.
 *
 * needs: nginx-light redis-server resource-agents iproute2 nftables iputils-arping psmisc
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { Watch } from '../../scripts/bench/watch.js'
import { labNodes, type RaisedLab, raiseLab, redisAddress, webAddress } from '../../scripts/lab/raise.js'
import { Witness } from '../../scripts/lab/witness.js'
import { pause, waitFor } from '../../scripts/lib/http.js'
import { projectRoot } from '../../scripts/lib/lab.js'
import { machinePrefix } from '../../scripts/lib/netns.js'
import { shortHash } from '../../scripts/lib/places.js'

/** Its own for each checkout: their tests may run side by side. */
const tag = `t${shortHash(projectRoot).slice(0, 6)}`
/** Generous: what is judged is that it happens, not how fast. */
const patience = 60_000

describe('laboratory', () => {
  let raised: RaisedLab
  let watch: Watch
  let witness: Witness
  let home: string

  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'quorate-lab-'))
    raised = await raiseLab({ tag, home, profile: 'normal' })
    watch = new Watch(`http://${webAddress}/`, raised.network.prefix('client'))
    witness = new Witness(raised.network, labNodes, { addresses: [webAddress, redisAddress], ports: [80, 6379] })
  })
  after(async () => {
    witness?.close()
    watch?.close()
    // Logs and data of the nodes, for whoever wants to see why a case failed.
    if (process.env.QUORATE_KEEP !== undefined) cpSync(home, process.env.QUORATE_KEEP, { recursive: true })
    await raised?.close()
    if (home !== undefined) rmSync(home, { recursive: true, force: true })
  })
  afterEach(() => assert.deepEqual(witness.doubles, [], 'no instant with two copies of anything'))

  /** Waits until the service answers from another node than before, or from this one. */
  const servedBy = async (since: number, fits: (node: string) => boolean): Promise<string> => {
    const { text } = await watch.until(since, (success) => fits(servingNode(success.text)), patience)
    return servingNode(text)
  }
  const settled = async (): Promise<string> => {
    let holder: string | undefined
    await waitFor('every node and group to be well', patience, async () => {
      const statuses = await Promise.all(labNodes.map((node) => raised.status(node)))
      holder = await raised.holder('web')
      return (
        holder !== undefined &&
        (await raised.holder('redis')) !== undefined &&
        statuses.every(({ quorate, nodes = [] }) => quorate === true && nodes.every(({ state }) => state === 'ONLINE'))
      )
    })
    await servedBy(Date.now(), (node) => node === holder)
    return holder as string
  }
  /** The pid of nginx on that machine; undefined while it has none. */
  const masterOf = (node: string): string | undefined => {
    try {
      return (
        execFileSync(...onMachine(node, 'cat', join(raised.run, 'here/nginx.pid')), { encoding: 'utf8', stdio: 'pipe' }).trim() || undefined
      )
    } catch {
      return undefined
    }
  }
  const newestCase = async (
    node: string,
  ): Promise<{ readonly id: string; readonly proof: { readonly kind: string } | null } | undefined> => {
    const { body } = await raised.api('GET', '/v1/cases')
    const cases = (body.items ?? body.cases ?? body) as readonly {
      readonly id: string
      readonly node: string
      readonly proof: { readonly kind: string } | null
    }[]
    return cases.filter((one) => one.node === node).at(-1)
  }
  const provedCase = async (node: string, before: string | undefined): Promise<string> => {
    let kind: string | undefined
    await waitFor(`a case of ${node} with its proof`, patience, async () => {
      const found = await newestCase(node)
      kind = found?.id === before ? undefined : found?.proof?.kind
      return kind !== undefined
    })
    return kind as string
  }

  test('nginx and redis answer through their addresses, each on the first node of its list', async () => {
    const node = await settled()
    const { decisions } = (await raised.api('GET', '/v1/decisions')).body
    assert.deepEqual([node, await raised.holder('redis')], ['n1', 'n2'], JSON.stringify(decisions))
    assert.equal(await raised.onClient('curl', '-sf', '--max-time', '5', `http://${webAddress}/`), `Served by ${node}.\n`)
    assert.equal(await raised.onClient('redis-cli', '-h', redisAddress, 'set', 'key', 'value'), 'OK\n')
  })

  test('a group that is moved answers from its new node, and no case is opened', async (context) => {
    const from = await settled()
    const before = await newestCase(from)
    const since = Date.now()
    const to = labNodes.findLast((node) => node !== from)
    const { status, body } = await raised.api('POST', '/v1/groups/web/move', { to })
    assert.ok(status === 200 || status === 202, JSON.stringify(body))
    assert.equal(await servedBy(since, (node) => node !== from), to)
    context.diagnostic(`gap ${watch.longestGap(since, Date.now())} ms`)
    assert.equal(await settled(), to)
    assert.deepEqual(await newestCase(from), before)
  })

  test('nginx that is killed is started again on its node', async (context) => {
    const node = await settled()
    const master = masterOf(node)
    const since = Date.now()
    execFileSync(...onMachine(node, 'pkill', '-KILL', '-x', 'nginx'), { stdio: 'pipe' })
    await waitFor('another nginx', patience, async () => ![undefined, master].includes(masterOf(node)))
    assert.equal(await servedBy(Date.now(), () => true), node)
    context.diagnostic(`gap ${watch.longestGap(since, Date.now())} ms`)
    assert.equal(await settled(), node)
  })

  test('a node whose every process is killed is fenced, its groups go on elsewhere, and it comes back', async (context) => {
    const lost = await settled()
    const before = await newestCase(lost)
    const since = Date.now()
    raised.lab.power.get(lost)?.crash()
    const next = await servedBy(since + 10, (node) => node !== lost)
    context.diagnostic(`${lost} → ${next}, gap ${watch.longestGap(since, Date.now())} ms`)
    assert.equal(next, firstOf(lost))
    assert.equal(await provedCase(lost, before?.id), 'fenced')
    assert.equal(await settled(), next, 'the group stays where it went')
  })

  test('a node whose cable is pulled is fenced, its groups go on elsewhere, and it rejoins when it is put back', async (context) => {
    const lost = await settled()
    const before = await newestCase(lost)
    const since = Date.now()
    await raised.network.cut(lost)
    const next = await servedBy(since, (node) => node !== lost)
    context.diagnostic(`${lost} → ${next}, gap ${watch.longestGap(since, Date.now())} ms`)
    assert.equal(next, firstOf(lost))
    assert.equal(await provedCase(lost, before?.id), 'fenced')
    await pause(1_000)
    assert.deepEqual(witness.holders(`address ${webAddress}`), [next])
    await raised.network.heal(lost)
    assert.equal(await settled(), next)
  })

  test('a node that hears nobody any more, though the others hear it, is fenced all the same', async () => {
    const lost = await settled()
    const before = await newestCase(lost)
    const since = Date.now()
    await raised.network.cut(lost, 'in')
    assert.equal(await servedBy(since, (node) => node !== lost), firstOf(lost))
    assert.equal(await provedCase(lost, before?.id), 'fenced')
    await raised.network.heal(lost)
    await settled()
  })

  test('a node whose interface loses its addresses makes no cluster of its own, and is fenced', async () => {
    const lost = await settled()
    const before = await newestCase(lost)
    const since = Date.now()
    execFileSync(...onMachine(lost, 'ip', 'addr', 'flush', 'dev', 'eth0'))
    assert.equal(await servedBy(since, (node) => node !== lost), firstOf(lost))
    assert.equal(await provedCase(lost, before?.id), 'fenced')
    await settled()
  })

  test('redis has on the next node what it had answered for on the one that was lost', async () => {
    await settled()
    const lost = (await raised.holder('redis')) as string
    assert.equal(await raised.onClient('redis-cli', '-h', redisAddress, 'set', 'key', 'newer'), 'OK\n')
    raised.lab.power.get(lost)?.crash()
    await waitFor('redis on another node', patience, async () => {
      const holder = await raised.holder('redis')
      return holder !== undefined && holder !== lost
    })
    assert.equal(await raised.onClient('redis-cli', '-h', redisAddress, 'get', 'key'), 'newer\n')
    await settled()
  })

  test('the witness saw it all', () => {
    assert.ok(witness.looks > 100)
    for (const what of [`address ${webAddress}`, 'port 80']) {
      const nodes = new Set(witness.history.filter((sighting) => sighting.what === what).flatMap((sighting) => sighting.nodes))
      assert.ok(nodes.size > 1, `${what} was seen on several nodes`)
    }
  })
})

function servingNode(text: string): string {
  return /Served by (\w+)\./.exec(text)?.[1] ?? ''
}

/** Where `web` goes when that node is lost: the first of its list that is left. */
function firstOf(lost: string): string {
  return labNodes.find((node) => node !== lost) as string
}

function onMachine(node: string, ...argv: readonly string[]): [string, string[]] {
  const prefix = machinePrefix(tag, node)
  assert.ok(prefix !== undefined, `${node} is on`)
  const [program, ...rest] = [...prefix, ...argv]
  return [program as string, rest]
}
