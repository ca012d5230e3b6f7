/** Copies on three nodes and the primary role of one of them, by real processes: who is the primary when, as the copies themselves note it down. */
import assert from 'node:assert/strict'
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { waitFor } from '../../scripts/lib/http.js'
import { type LoopbackLab, names, raiseLoopback } from './loopback-lab.js'

const patience = 90_000

interface Shown {
  readonly state: string
  readonly holders: readonly { readonly node: string; readonly token: number }[]
  readonly primary: { readonly node: string; readonly token: number } | null
  readonly waitingFor: string | null
}

describe('a group of three copies', () => {
  let loopback: LoopbackLab
  let folder: string
  let journal: string

  before(async () => {
    loopback = await raiseLoopback(61)
    await loopback.settled()
    folder = join(loopback.lab.home, 'copies')
    mkdirSync(folder, { mode: 0o777 })
    journal = join(folder, 'journal')
    appendFileSync(journal, '')
  })
  after(() => loopback?.close())

  const note = (what: string) => `echo "${what} $QUORATE_NODE $QUORATE_GRANT_TOKEN" >> ${journal}`
  const here = () => `${folder}/$QUORATE_NODE`
  const definition = (more: object = {}) => ({
    mode: 'scalable',
    nodes: [...names],
    pingpongInterval: '1s',
    notify: true,
    resources: {
      copy: {
        type: 'command',
        promotable: true,
        parameters: {
          start: `${note('start')}; touch ${here()}.runs; rm -f ${here()}.primary`,
          stop: `${note('stop')}; rm -f ${here()}.runs ${here()}.primary`,
          probe: `[ -e ${here()}.runs ] || exit 7`,
          promote: `[ -e ${here()}.runs ] && touch ${here()}.primary && ${note('promote')}`,
          demote: `[ ! -e ${here()}.primary ] || { rm -f ${here()}.primary; ${note('demote')}; }`,
          notify: `${note('notify $QUORATE_NOTIFY_TYPE-$QUORATE_NOTIFY_OPERATION-$QUORATE_NOTIFY_PROMOTE_UNAME$QUORATE_NOTIFY_DEMOTE_UNAME')}`,
          probeRole: `[ -e ${here()}.runs ] || exit 7; [ ! -e ${here()}.primary ] || exit 8`,
        },
        probe: { interval: '300ms', timeout: '5s' },
      },
    },
    primary: {
      resources: {
        address: { type: 'logical-hostname', parameters: { address: '127.84.61.101' }, dependsOn: ['copy'] },
        beside: {
          type: 'command',
          parameters: { run: 'exec sleep 100000' },
          dependsOn: ['copy'],
        },
      },
    },
    ...more,
  })

  const shown = async (): Promise<Shown> => (await loopback.api('GET', '/v1/groups/db')).body as unknown as Shown
  const all = () => readFileSync(journal, 'utf8').trim().split('\n')
  const lines = () => all().filter((line) => !line.startsWith('notify'))
  const wellOn = async (node: string | undefined) => {
    await waitFor(`db to be well${node === undefined ? '' : ` with its primary on ${node}`}`, patience, async () => {
      const { state, primary } = await shown()
      return state === 'ONLINE' && (node === undefined || primary?.node === node)
    })
    return shown()
  }

  /** The copy of a node is gone without a word. */
  function ends(node: string): void {
    appendFileSync(journal, `end ${node} 0\n`)
    for (const what of ['primary', 'runs']) rmSync(join(folder, `${node}.${what}`), { force: true })
  }

  /** What was noted down since, in the order in which it happened. */
  function since(length: number): readonly string[] {
    return lines()
      .slice(length)
      .map((line) => line.split(' ').slice(0, 2).join(' '))
  }

  /** Nobody is promoted before the one before has been demoted or has ended. */
  function onePrimary(): void {
    let primary: string | undefined
    for (const line of lines()) {
      const [what, node] = line.split(' ')
      if (what === 'promote') {
        assert.ok(primary === undefined || primary === node, `${line}, while ${primary} is the primary`)
        primary = node
      } else if ((what === 'demote' || what === 'stop' || what === 'end') && primary === node) primary = undefined
    }
  }

  test('all three run, and the first in rank is the primary, with what goes with it', async () => {
    const put = await loopback.api('PUT', '/v1/groups/db', definition())
    assert.equal(put.status, 201, JSON.stringify(put.body))
    const { holders, primary } = await wellOn('n1')
    assert.deepEqual(
      holders.map(({ node }) => node),
      [...names],
    )
    assert.ok(existsSync(join(folder, 'n1.primary')))
    assert.deepEqual(
      lines().filter((line) => line.startsWith('promote')),
      [`promote n1 ${primary?.token}`],
      'under its own token',
    )
    const listed = (await loopback.api('GET', '/v1/groups')).body as { groups: { name: string; mode?: string }[] }
    assert.deepEqual(
      listed.groups.map(({ name, mode }) => [name, mode]),
      [
        ['db', 'scalable'],
        ['web', undefined],
      ],
      'parts are not listed beside their whole',
    )
    const active = async (node: string) => (await loopback.api('GET', '/v1/groups/db/active-here', undefined, node)).status
    assert.deepEqual([await active('n1'), await active('n2')], [200, 503])
  })

  test('a person moves the role: no copy is started or stopped', async () => {
    const before = lines().length
    const moved = await loopback.api('POST', '/v1/groups/db/move?wait=60s', { to: 'n3' })
    assert.equal((moved.body as { status?: string }).status, 'done', JSON.stringify(moved.body))
    await wellOn('n3')
    assert.deepEqual(since(before), ['demote n1', 'promote n3'])
    const told = all().filter((line) => line.startsWith('notify'))
    await waitFor('all copies to be told of all of it', patience, async () =>
      ['pre-demote-n1', 'post-demote-n1', 'pre-promote-n3', 'post-promote-n3'].every((what) =>
        names.every((node) => all().some((line) => line.startsWith(`notify ${what} ${node} `))),
      ),
    )
    assert.ok(told.length > 0)
    const place = (text: string) => all().findIndex((line) => line.startsWith(text))
    for (const node of names) {
      assert.ok(place(`notify pre-demote-n1 ${node} `) < place('demote n1 '), `${node} knew of the demotion before`)
      assert.ok(place('demote n1 ') < place(`notify post-demote-n1 ${node} `))
      assert.ok(place(`notify pre-promote-n3 ${node} `) < place('promote n3 '), `${node} knew of the promotion before`)
    }
    onePrimary()
  })

  test('the copy of the primary dies: another copy becomes the primary, and the dead one comes back as a replica', async () => {
    const before = lines().length
    ends('n3')
    const { primary } = await wellOn(undefined).then(() =>
      waitFor('another primary', patience, async () => ((await shown()).primary?.node ?? 'n3') !== 'n3').then(() => wellOn(undefined)),
    )
    assert.notEqual(primary?.node, 'n3')
    assert.ok(since(before).includes('start n3'))
    assert.ok(!existsSync(join(folder, 'n3.primary')))
    onePrimary()
  })

  test('a copy that lost its role by itself is promoted again, and stays one copy', async () => {
    const node = (await shown()).primary?.node as string
    const before = lines().length
    rmSync(join(folder, `${node}.primary`))
    await waitFor('the role to be given again', patience, async () => since(before).some((line) => line.startsWith('promote')))
    await wellOn(undefined)
    assert.ok(!since(before).some((line) => line.startsWith('start')), 'no copy was restarted')
  })

  test('its node goes to standby: demoted first, then its copy is stopped', async () => {
    const node = (await wellOn(undefined)).primary?.node as string
    const before = lines().length
    await loopback.api('POST', `/v1/nodes/${node}/standby`)
    await waitFor('the copy to be gone', patience, async () => since(before).includes(`stop ${node}`))
    const own = since(before).filter((line) => line.endsWith(node))
    assert.deepEqual(own, [`demote ${node}`, `stop ${node}`])
    await waitFor('another primary', patience, async () => ((await shown()).primary?.node ?? node) !== node)
    await waitFor('it to be up with a copy less', patience, async () => (await shown()).state === 'DEGRADED')
    await loopback.api('POST', `/v1/nodes/${node}/activate`)
    await wellOn(undefined)
    onePrimary()
  })

  test('its node is lost: the role goes elsewhere once that is proved, and not before', async () => {
    const { primary } = await wellOn(undefined)
    const node = primary?.node as string
    const before = lines().length
    await loopback.lab.power.get(node)?.off()
    ends(node)
    await waitFor('another primary', patience, async () => ((await shown()).primary?.node ?? node) !== node)
    await wellOn(undefined)
    const promoted = since(before).filter((line) => line.startsWith('promote'))
    assert.equal(promoted.length, 1)
    onePrimary()
  })

  test('everything loses its lease: nothing is a primary any more, and then one is again', async () => {
    const before = lines().length
    const { primary } = await wellOn(undefined)
    const daemons = names.flatMap((node) => loopback.lab.power.get(node)?.pidsIn('daemon') ?? [])
    for (const pid of daemons) process.kill(pid, 'SIGSTOP')
    await waitFor('all copies to be stopped', patience, async () => names.every((node) => !existsSync(join(folder, `${node}.runs`))))
    assert.ok(names.every((node) => !existsSync(join(folder, `${node}.primary`))))
    assert.ok(since(before).includes(`stop ${primary?.node}`))
    for (const pid of daemons) {
      try {
        process.kill(pid, 'SIGCONT')
      } catch {
        // One that hangs is ended by its guardian.
      }
    }
    await wellOn(undefined)
    onePrimary()
  })

  test('deleted, nothing of it is left, and its name is free', async () => {
    const gone = await loopback.api('DELETE', '/v1/groups/db?wait=60s')
    assert.equal((gone.body as { status?: string }).status, 'done', JSON.stringify(gone.body))
    assert.equal((await loopback.api('GET', '/v1/groups/db')).status, 404)
    assert.equal((await loopback.api('GET', '/v1/groups/db:primary')).status, 404)
    assert.ok(names.every((node) => !existsSync(join(folder, `${node}.runs`))))
  })

  test('what cannot be is refused with the next step', async () => {
    const refused = async (change: object) =>
      (await loopback.api('PUT', '/v1/groups/db', definition(change))).body as Record<string, string>
    const plain = await refused({ mode: 'failover', primary: undefined, notify: undefined })
    assert.match(plain.detail ?? '', /promotable/)
    const many = await refused({ desired: 9 })
    assert.match(many.detail ?? '', /desired is 9/)
    const copy = { type: 'command', promotable: true, parameters: { run: 'sleep 1' } }
    const lacking = await refused({ resources: { copy }, primary: undefined })
    assert.match(lacking.detail ?? '', /promote is missing/)
    assert.match(
      (await refused({ resources: { copy: { type: 'tcp', promotable: true, parameters: { host: '127.0.0.1', port: 1 } } } })).detail ?? '',
      /has no roles/,
    )
  })
})
