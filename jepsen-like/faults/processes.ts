/** Processes and whole nodes that die, stand still, or start again. */
import { type OwnCluster, pause, type Role } from '../cluster/index.js'
import { drawTarget, type Fault, healed, nodeOf, onOwn } from './fault.js'

type Detail = { readonly target: string; readonly seconds?: number; readonly times?: number }

function killed(role: Role, always?: 'holder'): Fault {
  return {
    name: always === undefined ? `kill-${role}` : `kill-${always}-${role}`,
    family: 'kill',
    does: `the ${role} of ${always === undefined ? 'a node' : 'the node that runs the service'} is killed, and killed again when it has had time to be back`,
    lasts: [6_000, 9_000],
    takesAway: false,
    mayStop: false,
    draw: (random, nodes) => ({ target: always ?? drawTarget(random, nodes), times: random.between(1, 2) }),
    inject: async (cluster, detail) => {
      const { target, times = 1 } = detail as Detail
      const node = await nodeOf(cluster, target)
      let met = 0
      for (let time = 0; time < times; time++) {
        // One death is not to be noticed; two within a lease are a node that is lost.
        if (time > 0) await pause(4_500)
        met += await cluster.kill(node, role)
      }
      return { met: { node, killed: met }, heal: healed }
    },
  }
}

function restarted(role: Role): Fault {
  return {
    name: `restart-${role}`,
    family: 'restart',
    does: `the ${role} of a node is restarted in an orderly way, as an upgrade does`,
    lasts: [4_000, 7_000],
    takesAway: false,
    mayStop: false,
    draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
    inject: async (cluster, detail) => {
      const node = await nodeOf(cluster, (detail as Detail).target)
      return { met: { node, told: await cluster.restart(node, role) }, heal: healed }
    },
  }
}

/** How long one may take beside other faults, in milliseconds. */
const upgradeMax = 40_000

const upgraded = onOwn({
  name: 'upgrade',
  family: 'restart',
  does: 'monitor, daemon and guardian of a node make room for the program of this checkout, by `quorate upgrade`',
  lasts: [500, 3_000],
  takesAway: false,
  mayStop: false,
  lacks: () => (process.getuid?.() === 0 ? undefined : 'without root the nodes’ processes are in a namespace of their own'),
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as Detail).target)
    const { done, text } = await cluster.upgrade(node, upgradeMax)
    return { met: { node, done, ...(done ? {} : { text: text.slice(-300) }) }, heal: healed }
  },
})

const reborn = onOwn({
  name: 'clock-uptime',
  family: 'clock',
  does: 'a node is switched off, and on again with clocks that count since another boot, up to weeks apart',
  lasts: [5_000, 9_000],
  takesAway: true,
  mayStop: true,
  lacks: (cluster) => (cluster.hasUptimes ? undefined : 'time namespaces are for nodes in namespaces'),
  draw: (random, nodes) => ({
    target: drawTarget(random, nodes),
    seconds: random.pick([0, 1, 3_600, 86_400 * 40, random.between(0, 86_400 * 400)]),
  }),
  inject: async (cluster, detail) => {
    const { target, seconds } = detail as { readonly target: string; readonly seconds: number }
    const node = await nodeOf(cluster, target)
    await cluster.power(node).off()
    cluster.setUptime(node, seconds)
    await cluster.power(node).on()
    return { met: { node }, heal: () => turnOn(cluster, [node]) }
  },
})

function paused(role: Role): Fault {
  return {
    name: `pause-${role}`,
    family: 'pause',
    does: `the ${role} of a node stands still for a while`,
    lasts: [500, 9_000],
    takesAway: true,
    mayStop: true,
    draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
    inject: async (cluster, detail) => {
      const node = await nodeOf(cluster, (detail as Detail).target)
      return { met: { node }, heal: await cluster.pause(node, role) }
    },
  }
}

const crashed = onOwn({
  name: 'crash-node',
  family: 'crash',
  does: 'everything of a node is killed and its unsynced data is lost; its fence device turns it on again, if nobody else does',
  lasts: [6_000, 12_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as Detail).target)
    cluster.power(node).crash()
    return { met: { node }, heal: () => turnOn(cluster, [node]) }
  },
})

const poweredOff = onOwn({
  name: 'power-node',
  family: 'crash',
  does: 'a node is switched off and left so for a while',
  lasts: [4_000, 12_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as Detail).target)
    await cluster.power(node).off()
    return { met: { node }, heal: () => turnOn(cluster, [node]) }
  },
})

const poweredAll = onOwn({
  name: 'power-all',
  family: 'crash',
  does: 'all nodes lose power at once, and come back',
  lasts: [8_000, 14_000],
  takesAway: true,
  mayStop: true,
  draw: (random) => ({ target: 'all', seconds: random.between(0, 2) }),
  inject: async (cluster) => {
    for (const name of cluster.names) cluster.power(name).crash()
    await pause(300)
    for (const name of cluster.names) await cluster.power(name).on()
    return { met: { nodes: [...cluster.names] }, heal: () => turnOn(cluster, cluster.names) }
  },
})

const majorityLost = onOwn({
  name: 'power-majority',
  family: 'crash',
  does: 'a majority of the nodes loses power and comes back after a while',
  lasts: [6_000, 14_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ nodes: random.shuffle(nodes).slice(0, Math.floor(nodes.length / 2) + 1) as string[] }),
  inject: async (cluster, detail) => {
    const { nodes } = detail as { readonly nodes: readonly string[] }
    await Promise.all(nodes.map((name) => cluster.power(name).off()))
    return { met: { nodes: [...nodes] }, heal: () => turnOn(cluster, nodes) }
  },
})

async function turnOn(cluster: OwnCluster, nodes: readonly string[]): Promise<void> {
  for (const node of nodes) if (!cluster.power(node).isOn()) await cluster.power(node).on()
}

const pausedNode = onOwn({
  name: 'pause-node',
  family: 'pause',
  does: 'everything of a node stands still and goes on later, as a virtual machine does that is moved',
  lasts: [400, 12_000],
  takesAway: true,
  mayStop: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as Detail).target)
    const pids = cluster.power(node).pause()
    return {
      met: { node, pids: pids.length },
      heal: async () => {
        cluster.power(node).resume()
        await turnOn(cluster, [node])
      },
    }
  },
})

const starved: Fault = {
  name: 'cpu',
  family: 'cpu',
  does: 'programs that only compute take the processors of this machine, or of one host',
  lasts: [3_000, 10_000],
  takesAway: false,
  mayStop: true,
  draw: (random, nodes) => ({ target: random.pick(nodes), share: random.between(1, 3) }),
  inject: async (cluster, detail) => {
    const { target, share } = detail as { readonly target: string; readonly share: number }
    const node = await nodeOf(cluster, target)
    return { met: { node, programs: share }, heal: await cluster.burn(node, share) }
  },
}

export const processFaults: readonly Fault[] = [
  ...(['daemon', 'guardian', 'monitor'] as const).flatMap((role) => [killed(role), killed(role, 'holder'), paused(role)]),
  restarted('guardian'),
  restarted('monitor'),
  restarted('daemon'),
  upgraded,
  reborn,
  crashed,
  poweredOff,
  poweredAll,
  majorityLost,
  pausedNode,
  starved,
]
