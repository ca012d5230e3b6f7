/** Three members of Debian's etcd, with its own defaults, their data folders on the disk that the folder lies on. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { request } from '../../lib/http.js'
import { freePort } from '../../lib/lab.js'
import { type Name, names, type Place, type System, settle } from './system.js'

/** Errors: a sentence that says how to install it. */
export function checkEtcd(): string {
  try {
    return /etcd Version: (\S+)/.exec(execFileSync('etcd', ['--version'], { encoding: 'utf8' }))?.[1] ?? 'unknown'
  } catch {
    throw new Error(
      'etcd is not installed: apt-get install --no-install-recommends etcd-server (the service it starts is not needed: systemctl disable --now etcd), or run with --systems quorate',
    )
  }
}

export async function startEtcd(folder: string, place: Place): Promise<System> {
  const addresses = names.map((name) => place.address(name))
  const isLocal = addresses.every((address) => address.startsWith('127.'))
  const client = isLocal ? await freePort(addresses, 17_800) : 17_800
  const peer = isLocal ? await freePort(addresses, client + 1) : client + 1
  const children = new Map<Name, ChildProcess>()
  const data = (name: Name): string => join(folder, `etcd-${name}`)
  mkdirSync(folder, { recursive: true })
  const url = (name: Name, port: number): string => `http://${place.address(name)}:${port}`
  const start = async (name: Name): Promise<void> => {
    const log = openSync(join(folder, `etcd-${name}.log`), 'a')
    const [program, ...args] = [
      ...place.prefix(name),
      'etcd',
      ...['--name', name, '--data-dir', data(name), '--logger', 'zap', '--log-level', 'error'],
      ...['--listen-client-urls', url(name, client), '--advertise-client-urls', url(name, client)],
      ...['--listen-peer-urls', url(name, peer), '--initial-advertise-peer-urls', url(name, peer)],
      ...['--initial-cluster', names.map((other) => `${other}=${url(other, peer)}`).join(), '--initial-cluster-state', 'new'],
    ]
    children.set(name, spawn(program as string, args, { stdio: ['ignore', log, log] }))
    closeSync(log)
  }
  const status = async (name: Name) => {
    const answer = await request(url(name, client), 'POST', '/v3/maintenance/status', {}, { timeoutMs: 2_000 })
    const { header, leader, raftAppliedIndex } = answer.body as {
      header?: { member_id: string }
      leader?: string
      raftAppliedIndex?: string
    }
    return { member: header?.member_id, leader, applied: raftAppliedIndex === undefined ? -1 : Number(raftAppliedIndex) }
  }
  const system: System = {
    kind: 'etcd',
    target: (name) => `${place.address(name)}:${client}`,
    leader: async () => {
      const all = await Promise.all(names.map(status))
      return names.find((_, at) => all[at]?.member !== undefined && all.filter((one) => one.leader === all[at]?.member).length >= 2)
    },
    settled: async () => {
      const indexes = (await Promise.all(names.map(status))).map(({ applied }) => applied)
      return Math.min(...indexes) > 0 && Math.max(...indexes) - Math.min(...indexes) < 5
    },
    applied: async (name) => (await status(name)).applied,
    pids: (name) => [children.get(name)?.pid].filter((pid) => pid !== undefined),
    kill: (name) => void children.get(name)?.kill('SIGKILL'),
    start,
    folder: data,
    close: async () => {
      for (const child of children.values()) child.kill('SIGKILL')
    },
  }
  await Promise.all(names.map(start))
  await settle(system)
  return system
}
