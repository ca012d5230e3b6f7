/** Disks that are slow, full, broken, spoilt or gone. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Cluster, type Faults, flipBit } from '../cluster/index.js'
import { drawTarget, type Fault, nodeOf } from './fault.js'

const lacks = (cluster: Cluster): string | undefined => (cluster.hasShim ? undefined : 'faulty disks need a C compiler')

function faulty(name: string, does: string, faults: Faults, more: Partial<Fault> = {}): Fault {
  const none = Object.fromEntries(Object.keys(faults).map((key) => [key, undefined]))
  return {
    name,
    family: 'disk',
    does,
    lasts: [1_500, 9_000],
    takesAway: true,
    mayStop: true,
    lacks,
    draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
    inject: async (cluster, detail) => {
      const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
      cluster.shim(node)?.set(faults)
      return { met: { node }, heal: async () => cluster.shim(node)?.set(none) }
    },
    ...more,
  }
}

/** A new disk in the machine: it joins as a new member. */
async function replaceDisk(cluster: Cluster, node: string): Promise<void> {
  await cluster.power(node).off()
  const data = join(cluster.home, node, 'data')
  rmSync(data, { recursive: true, force: true })
  mkdirSync(data)
  await cluster.power(node).on()
}

const spoilt: Fault = {
  ...faulty('disk-rot', 'a node is switched off, one bit of its log is turned over, and it is switched on; later it gets a new disk', {}),
  lasts: [5_000, 9_000],
  draw: (random, nodes) => ({ target: drawTarget(random, nodes), share: random.next() }),
  inject: async (cluster, detail) => {
    const { target, share } = detail as { readonly target: string; readonly share: number }
    const node = await nodeOf(cluster, target)
    await cluster.power(node).off()
    const path = cluster.logFiles(node).at(-1)
    const flipped = path === undefined ? undefined : flipBit(path, share)
    await cluster.power(node).on()
    return { met: { node, offset: flipped?.offset ?? null }, heal: () => replaceDisk(cluster, node) }
  },
}

const lost: Fault = {
  ...faulty('disk-lost', 'a node is switched off, gets an empty disk, and is switched on', {}),
  lasts: [6_000, 10_000],
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
    await replaceDisk(cluster, node)
    return { met: { node }, heal: async () => undefined }
  },
}

export const diskFaults: readonly Fault[] = [
  faulty('disk-slow', 'each sync of one node takes 300 ms', { syncDelayMs: 300 }),
  faulty('disk-hang', 'each sync of one node takes five seconds', { syncDelayMs: 5_000 }, { lasts: [4_000, 12_000] }),
  faulty('disk-crawl', 'each write of one node takes 40 ms', { writeDelayMs: 40 }),
  faulty('disk-full', 'the disk of one node is full', { writeError: 28 }),
  faulty('disk-fail', 'syncs of one node fail', { syncError: 5 }),
  spoilt,
  lost,
]
