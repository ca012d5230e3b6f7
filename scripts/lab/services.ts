/** What runs in the laboratory: what each node finds before it is switched on, and the groups, by Debian's own agents. */
import { chownSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readExample } from '../lib/examples.js'
import { device } from '../lib/netns.js'

export interface LabPlace {
  readonly node: string
  /** Where to put the node's own files. */
  readonly folder: string
  /** Where the node finds them. */
  readonly here: string
  /** Storage that all nodes reach. */
  readonly shared: string
}

export interface LabServices {
  place(at: LabPlace): void
  /** Definitions by name, as the API takes them. */
  groups(here: string): Readonly<Record<string, unknown>>
}

export const webAddress = '10.83.0.100'
export const redisAddress = '10.83.0.101'

export const webAndRedis: LabServices = {
  place: ({ node, folder, here, shared }) => {
    giveTo('redis', shared)
    mkdirSync(join(folder, 'temporary'), { recursive: true })
    mkdirSync(join(folder, 'redis'))
    giveTo('redis', join(folder, 'redis'))
    writeFileSync(join(folder, 'nginx.conf'), nginxFile(node, here))
    writeFileSync(join(folder, 'redis.conf'), redisFile(shared))
  },
  groups,
}

/** Of a user that is not there nothing is done. */
export function giveTo(user: string, path: string): void {
  const found = new RegExp(`^${user}:[^:]*:(\\d+):(\\d+):`, 'm').exec(readFileSync('/etc/passwd', 'utf8'))
  if (found !== null) chownSync(path, Number(found[1]), Number(found[2]))
}

/** Debian's own agents, as an administrator would write them down. */
function groups(here: string) {
  const address = (ip: string) => ({ type: 'ocf:heartbeat:IPaddr2', parameters: { ip, cidr_netmask: 24, nic: device } })
  const web = readExample('nginx.yaml', { '10.0.0.100': webAddress, '/etc/nginx': here })
  if (!existsSync('/usr/bin/redis-server')) return { web }
  const redis = {
    nodes: ['n2', 'n3', 'n1'],
    priority: 50,
    resources: {
      ip: address(redisAddress),
      redis: {
        type: 'ocf:heartbeat:redis',
        parameters: { config: join(here, 'redis.conf'), rundir: join(here, 'redis') },
        dependsOn: ['ip'],
      },
    },
  }
  return { web, redis }
}

function nginxFile(node: string, at: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${at}/temporary/${kind};`)
  return `pid ${at}/nginx.pid;
error_log ${at}/nginx-error.log;
worker_processes 1;
events { worker_connections 256; }
http {
  access_log off;
  default_type text/plain;
${temporary.join('\n')}
  server {
    listen 80;
    location / { return 200 "Served by ${node}.\\n"; }
  }
}
`
}

/** Every answered write is on the shared disk, so that the next node has it. */
function redisFile(shared: string): string {
  return `bind 0.0.0.0
protected-mode no
port 6379
dir ${shared}
appendonly yes
appendfsync always
save ""
`
}
