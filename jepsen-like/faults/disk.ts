/** Disks that are slow, full, broken, spoilt or gone. */
import { type Faults, flipBit, groupName, type OwnCluster, waitUntil } from '../cluster/index.js'
import { drawTarget, type Fault, type Injected, nodeOf, onOwn } from './fault.js'

const lacks = (own: OwnCluster): string | undefined => (own.hasShim ? undefined : 'faulty disks need a C compiler')

const shape = (name: string, does: string): Omit<Fault, 'inject'> => ({
  name,
  family: 'disk',
  does,
  lasts: [1_500, 9_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
})

function faulty(name: string, does: string, faults: Faults, lasts: Fault['lasts'] = [1_500, 9_000]): Fault {
  const none = Object.fromEntries(Object.keys(faults).map((key) => [key, undefined]))
  return onOwn({
    ...shape(name, does),
    lasts,
    lacks,
    inject: async (cluster, detail) => {
      const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
      cluster.shim(node)?.set(faults)
      return { met: { node }, heal: async () => cluster.shim(node)?.set(none) }
    },
  })
}

/** A new disk in the machine: it joins as a new member. */
async function replaceDisk(cluster: OwnCluster, node: string): Promise<void> {
  // Only one at a time may lose what it has: the spoilt one waits for one that is just coming back.
  const others = cluster.names.filter((name) => name !== node)
  await waitUntil('the others to vote', 60_000, () => cluster.areVoters(others)).catch(() => undefined)
  await cluster.power(node).off()
  cluster.newDisk(node)
  await cluster.power(node).on()
}

const spoilt = onOwn({
  ...shape('disk-rot', 'a node is switched off, one bit of its log is turned over, and it is switched on; later it gets a new disk'),
  lasts: [5_000, 9_000],
  draw: (random, nodes) => ({ target: drawTarget(random, nodes), share: random.next() }),
  inject: async (cluster, detail) => {
    const { target, share } = detail as { readonly target: string; readonly share: number }
    const node = await nodeOf(cluster, target)
    if (!(await cluster.areVoters(cluster.names.filter((name) => name !== node)))) return spared(node)
    await cluster.power(node).off()
    const path = cluster.logFiles(node).at(-1)
    const flipped = path === undefined ? undefined : flipBit(path, share)
    await cluster.power(node).on()
    return { met: { node, offset: flipped?.offset ?? null }, heal: () => replaceDisk(cluster, node) }
  },
})

const lost = onOwn({
  ...shape('disk-lost', 'a node is switched off, gets an empty disk, and is switched on'),
  lasts: [6_000, 10_000],
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
    if (!(await cluster.areVoters(cluster.names.filter((name) => name !== node)))) return spared(node)
    await replaceDisk(cluster, node)
    return { met: { node }, heal: async () => undefined }
  },
})

/** For real: other programs' files take what was left, and every write of the node meets that. */
const brimful: Fault = {
  ...shape('disk-brim', 'the file system of one node’s data is filled to the last byte, and room is made again'),
  lasts: [1_500, 12_000],
  lacks: (cluster) => cluster.noFullDisks,
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
    const bytes = await cluster.fillDisk(node)
    return { met: { node, ...(bytes === undefined ? {} : { bytes }) }, heal: () => cluster.emptyDisk(node) }
  },
}

/** Taken out of the cluster after it has left, it comes back with an empty disk: as a new member, learner first. */
const replaced = onOwn({
  name: 'member-replaced',
  family: 'change',
  does: 'a node leaves and its member is taken out; invited, it joins again with an empty disk',
  lasts: [4_000, 10_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
    const others = cluster.names.filter((name) => name !== node)
    if (!(await cluster.areVoters(others))) return spared(node)
    // Only what runs nothing any more, and is named nowhere, can be taken out.
    const left = await cluster.ask('POST', `/v1/nodes/${node}/leave?wait=15s`, { reason: 'its disk is replaced' }, others[0])
    if (left.status !== 200) return { met: { node, left: left.status }, heal: () => comesBack(cluster, node) }
    await cluster.ask('PATCH', `/v1/groups/${groupName}`, { nodes: others }, others[0])
    const own = (await cluster.members()).filter((member) => member.node === node).map(({ member }) => member)
    const out: Record<string, string> = {}
    for (const member of own) {
      const { status, body } = await cluster.ask('DELETE', `/v1/members/${member}?wait=8s`, undefined, others[0])
      out[member] = status < 300 ? 'out' : `${status} ${body.detail}`
    }
    return {
      met: { node, left: left.status, out },
      heal: async () => {
        await cluster.power(node).off()
        if (await cluster.areVoters(others)) cluster.newDisk(node)
        if (own.length > 0) await cluster.invite(node, others[0])
        await cluster.power(node).on()
        // Taken in again, it has to be told its devices and its groups once more.
        await waitUntil(`${node} to be known again`, 60_000, () => cluster.fence(node)).catch(() => undefined)
        await cluster.ask('PATCH', `/v1/groups/${groupName}`, { nodes: [...cluster.names] }, others[0])
      },
    }
  },
})

/** It was asked to leave and may have, or may not: switched off and on it comes back in any case. */
async function comesBack(cluster: OwnCluster, node: string): Promise<void> {
  await cluster.power(node).off()
  await cluster.power(node).on()
}

/** What only one of them may lose at a time is left alone while another is not a voter yet. */
function spared(node: string): Injected {
  return { met: { node, spared: true }, heal: async () => undefined }
}

export const diskFaults: readonly Fault[] = [
  faulty('disk-slow', 'each sync of one node takes 300 ms', { syncDelayMs: 300 }),
  faulty('disk-hang', 'each sync of one node takes five seconds', { syncDelayMs: 5_000 }, [4_000, 12_000]),
  faulty('disk-crawl', 'each write of one node takes 40 ms', { writeDelayMs: 40 }),
  faulty('disk-full', 'the disk of one node is full', { writeError: 28 }),
  faulty('disk-fail', 'syncs of one node fail', { syncError: 5 }),
  spoilt,
  lost,
  brimful,
  replaced,
]
