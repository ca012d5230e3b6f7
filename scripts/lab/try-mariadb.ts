/**
 * `node dist/scripts/lab/try-mariadb.js`, as root: docs/examples/mariadb.yaml on three machines, through the loss of the primary's node.
 *
 * Too slow for every `npm test`. Needs mariadb-server and what the laboratory needs. Ends with 0 when everything went as it is told.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readExample } from '../lib/examples.js'
import { waitFor } from '../lib/http.js'
import { projectRoot } from '../lib/lab.js'
import { shortHash } from '../lib/places.js'
import { here, labNodes, type RaisedLab, raiseLab } from './raise.js'
import { giveTo, type LabServices } from './services.js'

const patience = 600_000
const address = '10.83.0.102'
const ownAddress = (node: string) => `10.83.0.${labNodes.indexOf(node as 'n1') + 1}`

const services: LabServices = {
  place: ({ node, folder, here: at }) => {
    const [files, first] = [folder, join(folder, '..', labNodes[0])].map((place) => join(place, 'mysql')) as [string, string]
    mkdirSync(files)
    giveTo('mysql', files)
    const data = join(files, 'data')
    if (files !== first) cpSync(join(first, 'data'), data, { recursive: true, preserveTimestamps: true })
    else execFileSync('mariadb-install-db', ['--no-defaults', '--user=mysql', `--datadir=${data}`, '--skip-test-db'], { stdio: 'pipe' })
    writeFileSync(join(files, 'init.sql'), ['replicator', 'app'].flatMap(userSql).join('\n'))
    writeFileSync(join(files, 'my.cnf'), configuration(labNodes.indexOf(node as 'n1') + 1, join(at, 'mysql')))
    execFileSync('chown', ['-R', 'mysql:', files])
  },
  groups: () => ({}),
}

const userSql = (user: string) => [
  'SET sql_log_bin = 0;',
  ...['%', 'localhost'].map((host) => `GRANT ALL ON *.* TO '${user}'@'${host}' IDENTIFIED BY 'secret';`),
]

const configuration = (id: number, at: string) => `[mysqld]
server_id = ${id}
log_bin = binlog
log_slave_updates = 1
bind_address = 0.0.0.0
init_file = ${at}/init.sql
innodb_buffer_pool_size = 32M
performance_schema = off
slave_net_timeout = 5
`

const began = Date.now()
const say = (text: string) => process.stdout.write(`${((Date.now() - began) / 1_000).toFixed(1).padStart(7)} s  ${text}\n`)

async function tried(lab: RaisedLab): Promise<void> {
  const sql = async (text: string, at = address) =>
    (await lab.onClient('mariadb', '-h', at, '-u', 'app', '-psecret', '-N', '-B', '-e', text)).trim()
  const shown = async () => (await lab.api('GET', '/v1/groups/sql')).body as { state?: string; primary?: { node: string } | null }
  const rows = (at?: string) => sql('select count(*) from test.said', at).catch(() => '')
  const put = async (path: string, body: unknown) => {
    const { status, body: answer } = await lab.api('PUT', path, body)
    if (status >= 300) throw new Error(`PUT ${path}: ${JSON.stringify(answer)}`)
  }

  for (const node of labNodes) await put(`/v1/store/quorate/attributes/node/${node}/sql_mysql_master_IP`, { value: ownAddress(node) })
  const at = join(here(lab.run), 'mysql')
  await put(
    '/v1/groups/sql',
    readExample('mariadb.yaml', {
      '/etc/mysql/cluster.cnf': join(at, 'my.cnf'),
      '/var/lib/mysql': join(at, 'data'),
      '/run/mysqld': at,
      '/var/log/mysql': at,
      '10.0.0.102': address,
      'timeout: 60s': 'timeout: 300s',
      'timeout: 120s': 'timeout: 600s',
    }),
  )
  await waitFor('three copies and a primary', patience, async () => (await shown()).state === 'ONLINE')
  const former = (await shown()).primary?.node as string
  say(`${former} is the primary`)
  await sql("create database test; create table test.said (what text); insert into test.said values ('acknowledged')")
  const others = labNodes.filter((node) => node !== former)
  for (const node of others) await waitFor(`the row on ${node}`, patience, async () => (await rows(ownAddress(node))) === '1')
  say('the row is on both replicas')

  await lab.lab.power.get(former)?.off()
  await waitFor('another primary', patience, async () => ![undefined, former].includes((await shown()).primary?.node))
  await waitFor('the address', patience, async () => (await rows()) === '1')
  say(`${(await shown()).primary?.node} is the primary, and has the row`)
  await sql("insert into test.said values ('after')")

  await lab.lab.power.get(former)?.on()
  await waitFor('three copies again', patience, async () => (await shown()).state === 'ONLINE')
  for (const node of labNodes) await waitFor(`both rows on ${node}`, patience, async () => (await rows(ownAddress(node))) === '2')
  say(`${former} is a replica, and both rows are on all three`)
}

const home = mkdtempSync(join(tmpdir(), 'quorate-mariadb-'))
let lab: RaisedLab | undefined
try {
  lab = await raiseLab({ tag: `m${shortHash(projectRoot).slice(0, 6)}`, home, profile: 'normal', services })
  await tried(lab)
} catch (error) {
  say(`failed: ${(error as Error).message}`)
  process.exitCode = 1
  if (process.env.QUORATE_KEEP !== undefined) cpSync(home, process.env.QUORATE_KEEP, { recursive: true })
} finally {
  await lab?.close()
  rmSync(home, { recursive: true, force: true })
}
