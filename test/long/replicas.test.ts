/**
 * Databases with replicas by Debian's own agents, as docs/examples has them: three machines, and the loss of one of them.
 *
 * needs: postgresql redis-server resource-agents iproute2 nftables iputils-arping psmisc
 */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { here, labNodes, type RaisedLab, raiseLab } from '../../scripts/lab/raise.js'
import { giveTo, type LabServices } from '../../scripts/lab/services.js'
import { readExample } from '../../scripts/lib/examples.js'
import { waitFor } from '../../scripts/lib/http.js'
import { projectRoot } from '../../scripts/lib/lab.js'
import { machinePrefix } from '../../scripts/lib/netns.js'
import { shortHash } from '../../scripts/lib/places.js'

/** Its own for each checkout: their tests may run side by side. */
const tag = `r${shortHash(projectRoot).slice(0, 6)}`
const patience = 300_000
const postgres = join('/usr/lib/postgresql', readdirSync('/usr/lib/postgresql').sort().at(-1) ?? '', 'bin')
const [dbAddress, cacheAddress] = ['10.83.0.100', '10.83.0.101']

const runAs = (user: string, ...argv: string[]) => execFileSync('runuser', ['-u', user, '--', ...argv], { cwd: '/', stdio: 'pipe' })

/** What the examples allow agents is meant for a machine of their own. */
const unhurried = { 'timeout: 60s': 'timeout: 300s', 'timeout: 120s': 'timeout: 300s' }

/** One data folder for all: what it is made from is the same on every node. */
function placePostgres(folder: string, at: string, from: string | undefined): void {
  const data = join(folder, 'main')
  for (const name of ['sockets', 'log']) mkdirSync(join(folder, name))
  for (const name of ['sockets', 'log', '.']) giveTo('postgres', join(folder, name))
  if (from !== undefined) return cpSync(join(from, 'main'), data, { recursive: true, preserveTimestamps: true })
  runAs('postgres', join(postgres, 'initdb'), '-D', data, '--no-sync', '-E', 'UTF8', '--locale=C', '--auth=trust', '-U', 'postgres')
  appendFileSync(
    join(data, 'postgresql.conf'),
    `listen_addresses = '*'
unix_socket_directories = '${at}/sockets'
hot_standby = on
wal_retrieve_retry_interval = 500ms
dynamic_shared_memory_type = mmap
shared_buffers = 16MB
`,
  )
  appendFileSync(join(data, 'pg_hba.conf'), 'host all,replication all 10.83.0.0/24 trust\n')
}

const services: LabServices = {
  place: ({ folder, here: at }) => {
    const first = join(folder, '..', labNodes[0])
    mkdirSync(join(folder, 'postgres'))
    placePostgres(join(folder, 'postgres'), join(at, 'postgres'), folder === first ? undefined : join(first, 'postgres'))
    execFileSync('chown', ['-R', 'postgres:', join(folder, 'postgres')])
    mkdirSync(join(folder, 'redis'))
    giveTo('redis', join(folder, 'redis'))
    writeFileSync(join(folder, 'redis.conf'), `bind 0.0.0.0\nprotected-mode no\nport 6379\ndir ${at}/redis\nrepl-diskless-sync-delay 0\n`)
  },
  groups: (at) => ({
    db: readExample('postgresql.yaml', {
      '/usr/lib/postgresql/15/bin': postgres,
      '/var/lib/postgresql/15': join(at, 'postgres'),
      '/var/lib/postgresql': join(at, 'postgres'),
      '/var/run/postgresql': join(at, 'postgres/sockets'),
      '/var/log/postgresql': join(at, 'postgres/log'),
      '10.0.0.100': dbAddress,
      'repuser: replicator': 'repuser: postgres',
      ...unhurried,
    }),
    cache: readExample('redis.yaml', {
      '/etc/redis/redis.conf': join(at, 'redis.conf'),
      '/run/redis': join(at, 'redis'),
      '10.0.0.101': cacheAddress,
      ...unhurried,
    }),
  }),
}

interface Shown {
  readonly state: string
  readonly primary: { readonly node: string } | null
  readonly parts: readonly { readonly name: string; readonly state: string; readonly scores?: Readonly<Record<string, number>> }[]
}

describe('databases with replicas', () => {
  let raised: RaisedLab
  let home: string
  let lost: string

  before(async () => {
    home = mkdtempSync(join(tmpdir(), 'quorate-replicas-'))
    raised = await raiseLab({ tag, home, profile: 'normal', services })
  })
  after(async () => {
    // Logs and data of the nodes, for whoever wants to see why a case failed.
    if (process.env.QUORATE_KEEP !== undefined) cpSync(home, process.env.QUORATE_KEEP, { recursive: true })
    await raised?.close()
    if (home !== undefined) rmSync(home, { recursive: true, force: true })
  })

  const shown = async (group: string) => (await raised.api('GET', `/v1/groups/${group}`)).body as unknown as Shown
  const until = (what: string, isSo: () => Promise<boolean>) => waitFor(what, patience, isSo)
  /** Waits for a primary elsewhere than on the node that was lost, and for a group in that state. */
  const primaryOf = async (group: string, state: string) => {
    let last: Shown | undefined
    await until(`${group} to be ${state}`, async () => {
      last = await shown(group)
      return last.state === state && last.primary !== null && last.primary.node !== lost
    })
    return last?.primary?.node as string
  }
  const sql = async (text: string, address = dbAddress) =>
    (await raised.onClient(join(postgres, 'psql'), '-h', address, '-U', 'postgres', '-Atc', text, 'postgres')).trim()
  const redis = async (...words: string[]) => (await raised.onClient('redis-cli', '-h', cacheAddress, ...words)).trim()
  const onNode = (node: string, ...argv: string[]) => {
    const [program, ...rest] = [...(machinePrefix(tag, node) ?? []), ...argv]
    return execFileSync(program as string, rest, { stdio: 'pipe', encoding: 'utf8', cwd: '/' })
  }
  const replicas = () =>
    sql("select string_agg(application_name || ' ' || sync_state, ', ' order by application_name) from pg_stat_replication")
  const streams = (pattern: RegExp) => until(`replicas as ${pattern}`, async () => pattern.test(await replicas().catch(() => '')))

  test('PostgreSQL: one is promoted, and one replica is synchronous before anything is acknowledged by itself', async () => {
    const primary = await primaryOf('db', 'ONLINE')
    await streams(/^n\d (async|sync), n\d (async|sync)$/)
    await streams(/ sync\b/)
    await sql('create table said (what text)')
    await sql("insert into said values ('acknowledged')")
    const other = labNodes.find((node) => node !== primary) as string
    const address = `10.83.0.${labNodes.indexOf(other as 'n1') + 1}`
    await until('the row on a replica', async () => (await sql('select what from said', address).catch(() => '')) === 'acknowledged')
    await assert.rejects(sql("insert into said values ('elsewhere')", address), /read-only transaction/)
    await until('the synchronous replica to be the next', async () => (await shown('db')).parts.some(({ scores }) => scores?.db === 100))
  })

  test('redis: what is written is on the replicas', async () => {
    await primaryOf('cache', 'ONLINE')
    await until('two replicas', async () => /connected_slaves:2/.test(await redis('info', 'replication')))
    assert.equal(await redis('set', 'said', 'acknowledged'), 'OK')
    assert.equal(await redis('wait', '2', '10000'), '2')
  })

  test('the node of the primary is lost: the synchronous replica has what was acknowledged, and goes on', async () => {
    lost = (await shown('db')).primary?.node as string
    await sql("insert into said values ('the last')")
    await raised.lab.power.get(lost)?.off()
    const next = await primaryOf('db', 'DEGRADED')
    assert.notEqual(next, lost)
    await until('the address', async () => (await sql('select count(*) from said').catch(() => '')) === '2')
    await streams(/sync/)
    await sql("insert into said values ('after')")
  })

  test('redis goes on too', async () => {
    await until('the address', async () => (await redis('get', 'said').catch(() => '')) === 'acknowledged')
  })

  test('the former primary comes back: redis as a replica, PostgreSQL once a person has made it one', async () => {
    await raised.lab.power.get(lost)?.on()
    await until('redis to be whole', async () => (await shown('cache')).state === 'ONLINE')
    await until('two replicas of redis', async () => /connected_slaves:2/.test(await redis('info', 'replication').catch(() => '')))
    const why = async () => JSON.stringify((await raised.api('GET', `/v1/groups/db:${lost}`)).body)
    await until('the agent to refuse', async () => /You have to remove .*PGSQL\.lock/.test(await why()))
    const data = join(here(raised.run), 'postgres/main')
    onNode(lost, 'rm', '-rf', data)
    onNode(
      lost,
      'runuser',
      '-u',
      'postgres',
      '--',
      join(postgres, 'pg_basebackup'),
      '-h',
      dbAddress,
      '-U',
      'postgres',
      '-D',
      data,
      '-X',
      'stream',
      '-c',
      'fast',
    )
    onNode(lost, 'rm', join(here(raised.run), 'postgres/tmp/PGSQL.lock'))
    await raised.api('POST', '/v1/groups/db/clear')
    await until('all three', async () => (await shown('db')).state === 'ONLINE')
    await streams(/^n\d (async|sync), n\d (async|sync)$/)
    assert.equal(await sql('select count(*) from said'), '3')
  })
})
