/**
 * How long nobody can write after the leader was killed, or (as root, in network namespaces) cut off from everybody: from the blow to
 * the first acknowledgement of a put that a survivor was asked for after it.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { makeNetwork, type Network } from '../../lib/netns.js'
import { startEtcd } from './etcd.js'
import { median, percentile } from './median.js'
import type { Options } from './options.js'
import { startQuorate } from './quorate.js'
import { type Name, names, type Place, type System, settle } from './system.js'

export interface ElectionFigures {
  readonly system: string
  readonly what: 'killed' | 'cut off'
  readonly medianMs: number
  readonly p90Ms: number
  readonly all: readonly number[]
}

export async function measureElections(folder: string, options: Options, withEtcd: boolean): Promise<readonly ElectionFigures[]> {
  const network = process.getuid?.() === 0 ? await inNamespaces() : undefined
  const place: Place = {
    address: (name) => (network === undefined ? `127.0.0.${names.indexOf(name) + 1}` : `10.85.0.${names.indexOf(name) + 1}`),
    prefix: (name) => network?.prefix(name) ?? [],
  }
  const systems: System[] = []
  try {
    systems.push(await startQuorate(join(folder, 'quorate-elections'), place, {}))
    if (withEtcd) systems.push(await startEtcd(join(folder, 'etcd-elections'), place))
    const gaps = new Map<string, number[]>()
    for (let run = 0; run < options.runs; run++) {
      for (const what of network === undefined ? (['killed'] as const) : (['killed', 'cut off'] as const)) {
        for (const system of systems) {
          const gap = what === 'killed' ? await kill(system, network) : await cut(system, network as Network)
          gaps.set(`${system.kind}/${what}`, [...(gaps.get(`${system.kind}/${what}`) ?? []), gap])
          process.stderr.write(`\r${system.kind} leader ${what}: ${gap} ms      `)
        }
      }
    }
    return [...gaps].map(([name, all]) => {
      const [system, what] = name.split('/') as [string, ElectionFigures['what']]
      return { system, what, medianMs: median(all), p90Ms: percentile(all, 0.9), all }
    })
  } finally {
    for (const system of systems) await system.close()
    await network?.close()
  }
}

function inNamespaces(): Promise<Network> {
  const hosts = names.map((name, at) => ({ name, address: `10.85.0.${at + 1}` }))
  return makeNetwork('bstore', [...hosts, { name: 'client', address: '10.85.0.9' }])
}

async function kill(system: System, network: Network | undefined): Promise<number> {
  const { leader, followers } = await settle(system)
  const prober = await startProber(system, followers, network)
  const at = Date.now()
  system.kill(leader)
  const gap = (await prober.firstAfter(at)) - at
  prober.end()
  await system.start(leader)
  return gap
}

async function cut(system: System, network: Network): Promise<number> {
  const { leader, followers } = await settle(system)
  const prober = await startProber(system, followers, network)
  await network.cut(leader)
  const at = Date.now()
  const gap = (await prober.firstAfter(at)) - at
  prober.end()
  await network.heal(leader)
  return gap
}

/** Asks all survivors at once, again and again. */
async function startProber(system: System, targets: readonly Name[], network: Network | undefined) {
  const [command, ...args] = [...(network?.prefix('client') ?? []), process.execPath, join(import.meta.dirname, 'prober.js')]
  const child = spawn(command as string, [...args, system.kind, ...targets.map((name) => system.target(name))], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let take: (success: { readonly sent: number; readonly done: number }) => void = () => undefined
  child.on('message', (success: { readonly sent: number; readonly done: number }) => take(success))
  await new Promise<void>((resolve) => {
    take = () => resolve()
  })
  return {
    firstAfter: (at: number) =>
      new Promise<number>((resolve) => {
        take = ({ sent, done }) => {
          if (sent >= at) resolve(done)
        }
      }),
    end: () => child.kill('SIGKILL'),
  }
}
