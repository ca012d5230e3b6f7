/**
 * Pacemaker and Corosync beside Quorate: the same machines (network namespaces on one bridge), the same service program, the same
 * fence agent, the same client. Needs root, and Debian's archive for the packages.
 *
 * Nothing is installed: the packages are unpacked into a folder, and each node sees them laid over its own /usr, /etc and /var. With
 * Pacemaker's commands on the machine itself, OCF agents under Quorate would ask the wrong cluster.
 */
import { execFile, execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { waitFor } from '../lib/http.js'
import { fenceAgentSource, projectRoot } from '../lib/lab.js'
import { device, machinePrefix, makeNetwork, type Network } from '../lib/netns.js'
import { Power } from '../lib/power.js'
import { servePower } from '../lib/power-server.js'
import { names } from './arena.js'
import { Watch } from './watch.js'

const tag = 'benchpcm'
const serviceAddress = '10.85.0.100'
/** What makes it unstable goes on longer than this. Milliseconds. */
const patience = 180_000
/** Of users that the packages would make. */
const hacluster = 64_990

export interface PacemakerCluster {
  readonly watch: Watch
  readonly journal: string
  readonly version: string
  /** All nodes online, the group started; the node that has it. */
  settled(): Promise<string>
  crash(node: string): void
  cut(node: string): Promise<void>
  heal(node: string): Promise<void>
  close(): Promise<void>
}

/** `token`: Corosync's time without one after which a node is lost, in milliseconds; undefined for the default. */
export async function openPacemaker(token: number | undefined): Promise<PacemakerCluster> {
  const home = mkdtempSync(join(tmpdir(), 'qbp-'))
  const hosts = [...names.map((name, at) => ({ name, address: addressOf(at) })), { name: 'client', address: '10.85.0.9' }]
  const network = await makeNetwork(tag, hosts)
  const supplies = new Map<string, Power>()
  const journal = join(home, 'journal.jsonl')
  const socket = join(home, 'power.sock')
  const server = await servePower(socket, supplies)
  let watch: Watch | undefined
  const close = async (): Promise<void> => {
    watch?.close()
    await Promise.all([...supplies.values()].map((supply) => supply.clean()))
    await server.close()
    await network.close()
    rmSync(home, { recursive: true, force: true })
  }
  try {
    const version = await unpack(join(home, 'packages'), join(home, 'tree'))
    writeFiles(home, token, journal)
    for (const node of names) supplies.set(node, supplyOf(node, home, network))
    await Promise.all([...supplies.values()].map((supply) => supply.on()))
    const monitor = (node: string): Promise<string> => inside(node, ['crm_mon', '--one-shot', '--output-as', 'xml'])
    await waitFor('Pacemaker to form', patience, async () => onlineIn(await monitor(names[0])) === names.length)
    await inside(names[0], ['cibadmin', '--replace', '--scope', 'configuration', '--xml-text', configuration(socket)])
    watch = new Watch(`http://${serviceAddress}/`, network.prefix('client'))
    await watch.until(0, () => true, patience)
    return {
      watch,
      journal,
      version,
      settled: async () => {
        let holder: string | undefined
        await waitFor('Pacemaker to be well', patience, async () => {
          const seen = await Promise.all(names.map((node) => monitor(node)))
          holder = /<resource id="app"[^>]*role="Started"[^>]*>\s*<node name="(\w+)"/.exec(seen[0] as string)?.[1]
          return holder !== undefined && seen.every((text) => onlineIn(text) === names.length && !/<pending|pending="true"/.test(text))
        })
        return holder as string
      },
      crash: (node) => void supplies.get(node)?.crash(),
      cut: (node) => network.cut(node),
      heal: (node) => network.heal(node),
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

function addressOf(at: number): string {
  return `10.85.0.${at + 1}`
}

/** Nodes that take part, by `crm_mon`; 0 where it cannot tell. */
function onlineIn(text: string): number {
  return [...text.matchAll(/<node name="\w+"[^>]* online="true"[^>]* unclean="false"/g)].length
}

/** Runs one of Pacemaker's commands on a node; an empty text where that fails. */
async function inside(node: string, argv: readonly string[]): Promise<string> {
  const prefix = machinePrefix(tag, node)
  if (prefix === undefined) return ''
  const [program, ...rest] = [...prefix, ...argv]
  return promisify(execFile)(program as string, rest, { timeout: 10_000 }).then(
    ({ stdout }) => stdout,
    () => '',
  )
}

/** The packages and those that they need which are not here, unpacked. Answers with Pacemaker's version. */
async function unpack(archives: string, tree: string): Promise<string> {
  mkdirSync(join(archives, 'partial'), { recursive: true })
  mkdirSync(tree)
  const words = ['install', '--yes', '--download-only', '--no-install-recommends', '-o', `Dir::Cache::archives=${archives}`]
  await promisify(execFile)('apt-get', [...words, 'pacemaker', 'pacemaker-cli-utils', 'corosync'])
  const files = readdirSync(archives).filter((name) => name.endsWith('.deb'))
  for (const file of files) await promisify(execFile)('dpkg-deb', ['--extract', join(archives, file), tree])
  return /^pacemaker_([^_]+)_/m.exec(files.join('\n'))?.[1]?.replaceAll('%3a', ':') ?? 'unknown'
}

function writeFiles(home: string, token: number | undefined, journal: string): void {
  const tree = join(home, 'tree')
  const agents = join(tree, 'usr/lib/ocf/resource.d/bench')
  for (const folder of [agents, join(tree, 'usr/sbin'), join(tree, 'etc/corosync')]) mkdirSync(folder, { recursive: true })
  writeProgram(join(tree, 'usr/sbin/fence_outlet'), `#!/bin/sh\nexec ${process.execPath} ${fenceAgentSource}\n`)
  writeProgram(join(agents, 'app'), serviceAgent(journal))
  writeFileSync(join(tree, 'etc/corosync/corosync.conf'), corosyncFile(token))
  for (const [file, line] of [
    ['passwd', `hacluster:x:${hacluster}:${hacluster}::/var/lib/pacemaker:/usr/sbin/nologin`],
    ['group', `haclient:x:${hacluster}:`],
  ])
    writeFileSync(join(tree, 'etc', file as string), `${readFileSync(join('/etc', file as string), 'utf8')}${line}\n`)
  const own = [
    'lib/pacemaker',
    'lib/pacemaker/cib',
    'lib/pacemaker/pengine',
    'lib/pacemaker/cores',
    'lib/pacemaker/blackbox',
    'log/pacemaker',
  ]
  for (const folder of own) {
    const path = join(tree, 'var', folder)
    mkdirSync(path, { recursive: true })
    chownSync(path, hacluster, hacluster)
  }
  for (const folder of ['lib/corosync', 'log/corosync']) mkdirSync(join(tree, 'var', folder), { recursive: true })
}

function writeProgram(path: string, text: string): void {
  writeFileSync(path, text)
  chmodSync(path, 0o755)
}

/** Its first process lays the packages over what the machine has, then starts both as an init would. */
function supplyOf(node: string, home: string, network: Network): Power {
  const own = join(home, node)
  mkdirSync(own)
  const tree = join(home, 'tree')
  const script = join(own, 'init')
  writeProgram(
    script,
    `#!/bin/sh
set -e
hostname ${node}
mount -t tmpfs tmpfs ${own}/disk
mkdir ${own}/disk/upper ${own}/disk/work
mount -t overlay overlay -o lowerdir=${tree}/usr:/usr /usr
mount -t overlay overlay -o lowerdir=${tree}/etc:/etc /etc
mount -t overlay overlay -o lowerdir=${tree}/var:/var,upperdir=${own}/disk/upper,workdir=${own}/disk/work /var
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mkdir -p /run/resource-agents /run/crm /run/lock
chown ${hacluster}:${hacluster} /run/crm
corosync -f &
until corosync-cfgtool -s > /dev/null 2>&1; do sleep 0.1; done
pacemakerd -f &
while :; do wait; sleep 1; done
`,
  )
  mkdirSync(join(own, 'disk'))
  return new Power({
    node,
    home: own,
    runDir: join(own, 'run'),
    argv: ['unshare', '--mount', '--pid', '--ipc', '--uts', '--fork', '--kill-child', '--mount-proc', script],
    prefix: network.prefix(node),
    reset: () => network.reset(node),
  })
}

function corosyncFile(token: number | undefined): string {
  const nodes = names.map((name, at) => `  node {\n    ring0_addr: ${addressOf(at)}\n    name: ${name}\n    nodeid: ${at + 1}\n  }`)
  return `totem {
  version: 2
  cluster_name: bench
  transport: knet
  crypto_cipher: none
  crypto_hash: none
${token === undefined ? '' : `  token: ${token}\n`}}
nodelist {
${nodes.join('\n')}
}
quorum {
  provider: corosync_votequorum
}
logging {
  to_stderr: yes
  to_logfile: no
  to_syslog: no
}
`
}

/** The demo's service under an OCF agent as short as they come. It says which node serves it, and keeps its journal. */
function serviceAgent(journal: string): string {
  const app = `${process.execPath} ${join(projectRoot, 'scripts/demo/app.mjs')} ${serviceAddress} 80 none=http://127.0.0.1:9 ${journal}`
  return `#!/bin/sh
pidfile=/run/app.pid
runs() { [ -s $pidfile ] && kill -0 "$(cat $pidfile)" 2> /dev/null; }
answers() { grep -q ' ${hexOf(serviceAddress)}:0050 00000000:0000 0A ' /proc/net/tcp; }
case $1 in
meta-data) cat << 'XML'
<?xml version="1.0"?>
<resource-agent name="app"><version>1.0</version><longdesc lang="en">The service</longdesc><shortdesc lang="en">The service</shortdesc><parameters/>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/><action name="monitor" timeout="20s" interval="10s"/><action name="meta-data" timeout="5s"/></actions></resource-agent>
XML
  ;;
start)
  runs && exit 0
  QUORATE_NODE=$(hostname) QUORATE_GROUP=web QUORATE_GRANT_TOKEN=$(date +%s%N | cut -c6-15) setsid ${app} < /dev/null > /dev/null 2>&1 &
  echo $! > $pidfile
  while runs; do answers && exit 0; sleep 0.01; done
  exit 1 ;;
stop)
  runs || exit 0
  kill "$(cat $pidfile)"
  while runs; do sleep 0.01; done
  exit 0 ;;
monitor) runs && answers && exit 0; runs && exit 1; exit 7 ;;
validate-all) exit 0 ;;
*) exit 3 ;;
esac
`
}

/** As /proc/net/tcp has an address. */
function hexOf(address: string): string {
  const bytes = address.split('.').map((part) => Number(part).toString(16).padStart(2, '0'))
  return bytes.reverse().join('').toUpperCase()
}

function configuration(socket: string): string {
  const pair = (id: string, name: string, value: string) => `<nvpair id="${id}-${name}" name="${name}" value="${value}"/>`
  const operation = (of: string, name: string, interval: string) =>
    `<op id="${of}-${name}" name="${name}" interval="${interval}" timeout="20s"/>`
  const devices = names.map((node) => {
    const id = `fence-${node}`
    const parameters = [pair(id, 'node', node), pair(id, 'socket', socket), pair(id, 'pcmk_host_list', node)].join('')
    return `<primitive id="${id}" class="stonith" type="fence_outlet"><instance_attributes id="${id}-of">${parameters}</instance_attributes></primitive>`
  })
  const address = [pair('ip', 'ip', serviceAddress), pair('ip', 'cidr_netmask', '24'), pair('ip', 'nic', device)].join('')
  const settings = [
    ['stonith-enabled', 'true'],
    ['no-quorum-policy', 'stop'],
  ].map(([name, value]) => pair('set', name as string, value as string))
  return `<configuration>
<crm_config><cluster_property_set id="cib-bootstrap-options">${settings.join('')}</cluster_property_set></crm_config>
<nodes>${names.map((name, at) => `<node id="${at + 1}" uname="${name}"/>`).join('')}</nodes>
<resources>${devices.join('')}<group id="web">
<primitive id="ip" class="ocf" provider="heartbeat" type="IPaddr2"><instance_attributes id="ip-of">${address}</instance_attributes><operations>${operation('ip', 'monitor', '10s')}</operations></primitive>
<primitive id="app" class="ocf" provider="bench" type="app"><operations>${operation('app', 'monitor', '10s')}</operations></primitive>
</group></resources>
<constraints/></configuration>`
}

/** Whether it can be had here at all, and why not. */
export function lacksForPacemaker(): string | undefined {
  if (process.getuid?.() !== 0) return 'it needs root'
  try {
    const policy = execFileSync('apt-cache', ['policy', 'pacemaker'], { encoding: 'utf8' })
    return /Candidate: \d/.test(policy) ? undefined : 'no package pacemaker is to be had'
  } catch {
    return 'there is no apt here'
  }
}
