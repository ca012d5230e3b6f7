/** Cuts and losses between nodes. */
import type { Json } from '../checkers/index.js'
import type { Cluster, Impairment } from '../cluster/index.js'
import { pause } from '../cluster/index.js'
import type { Random } from '../core/index.js'
import { drawTarget, type Fault, nodeOf } from './fault.js'

/** Of one side to the other, both ways or one. */
function between(
  some: readonly string[],
  others: readonly string[],
  direction: 'both' | 'there' | 'back',
  loss = 100,
): readonly Impairment[] {
  return some.flatMap((from) =>
    others.flatMap((to) => [
      ...(direction === 'back' ? [] : [{ from, to, loss }]),
      ...(direction === 'there' ? [] : [{ from: to, to: from, loss }]),
    ]),
  )
}

const lacksWires = ({ wires }: Cluster): string | undefined => wires.lacks

interface Shape {
  readonly name: string
  readonly family: string
  readonly does: string
  readonly needsRelay?: boolean
  readonly mayStop?: boolean
  readonly draw: (random: Random, nodes: readonly string[]) => Json
  readonly shape: (cluster: Cluster, detail: never) => Promise<readonly Impairment[]>
}

function fault({ name, family, does, needsRelay = false, mayStop = true, draw, shape }: Shape): Fault {
  return {
    name,
    family,
    does,
    lasts: [1_000, 12_000],
    takesAway: true,
    mayStop,
    draw,
    lacks: (cluster) =>
      lacksWires(cluster) ?? (needsRelay && !cluster.wires.canDelay ? 'only a relay can delay packets: --wires relay' : undefined),
    inject: async (cluster, detail, id) => {
      const impairments = await shape(cluster, detail as never)
      await cluster.wires.set(id, impairments)
      return {
        met: {
          pairs: impairments.map(
            ({ from, to, loss, link }) =>
              `${from}>${to}${link === undefined ? '' : ` link ${link}`}${loss === 100 || loss === 0 ? '' : ` ${loss}%`}`,
          ),
        },
        heal: () => cluster.wires.set(id, []),
      }
    },
  }
}

type Targeted = { readonly target: string }
const target = (random: Random, nodes: readonly string[]): Json => ({ target: drawTarget(random, nodes) })
const others = (cluster: Cluster, node: string): readonly string[] => cluster.names.filter((name) => name !== node)

function alone(name: string, does: string, direction: 'both' | 'there' | 'back', draw: Shape['draw'] = target): Fault {
  return fault({
    name,
    family: 'cut',
    does,
    draw,
    shape: async (cluster, detail: Targeted) => {
      const node = await nodeOf(cluster, detail.target)
      return between([node], others(cluster, node), direction)
    },
  })
}

/** Nobody is to be lost by it. */
function ofLink(name: string, family: string, does: string, losses: readonly number[]): Fault {
  const made = fault({
    name,
    family,
    does,
    draw: (random, nodes) => ({
      target: random.chance(0.3) ? 'all' : drawTarget(random, nodes),
      link: random.pick([0, 1]),
      percent: random.pick(losses),
    }),
    shape: async (cluster, { target: wanted, link, percent }: Targeted & { readonly link: number; readonly percent: number }) => {
      const of = wanted === 'all' ? cluster.names : [await nodeOf(cluster, wanted)]
      return of.flatMap((node) => between([node], others(cluster, node), 'both', percent)).map((one) => ({ ...one, link }))
    },
  })
  const lacks = (cluster: Cluster): string | undefined =>
    (cluster.own?.links ?? 1) > 1 ? made.lacks?.(cluster) : 'the nodes have one link: --links 2'
  return { ...made, takesAway: false, mayStop: false, lacks }
}

export const networkFaults: readonly Fault[] = [
  alone('cut-node', 'one node is cut off from all others', 'both'),
  alone('cut-leader', 'the leader is cut off from all others', 'both', () => ({ target: 'leader' })),
  alone('cut-holder', 'the node that runs the service is cut off from all others', 'both', () => ({ target: 'holder' })),
  alone('cut-out', 'the others do not hear one node', 'there'),
  alone('cut-in', 'one node does not hear the others', 'back'),
  fault({
    name: 'cut-halves',
    family: 'cut',
    does: 'the nodes are cut into two parts by chance',
    draw: (random, nodes) => ({ part: random.shuffle(nodes).slice(0, random.between(1, Math.floor(nodes.length / 2))) as string[] }),
    shape: async (cluster, { part }: { readonly part: readonly string[] }) =>
      between(
        part,
        cluster.names.filter((name) => !part.includes(name)),
        'both',
      ),
  }),
  fault({
    name: 'cut-ring',
    family: 'cut',
    does: 'each node hears its neighbours in a ring only; of three, one direction of each pair is cut',
    draw: (random, nodes) => ({ ring: random.shuffle(nodes) as string[] }),
    shape: async (_cluster, { ring }: { readonly ring: readonly string[] }) => {
      if (ring.length === 3) return ring.map((from, at) => ({ from, to: ring[(at + 1) % 3] as string, loss: 100 }))
      const near = (a: number, b: number): boolean =>
        Math.min((a - b + ring.length) % ring.length, (b - a + ring.length) % ring.length) <= ring.length / 4 + 0.5
      return ring.flatMap((from, a) => ring.flatMap((to, b) => (a === b || near(a, b) ? [] : [{ from, to, loss: 100 }])))
    },
  }),
  fault({
    name: 'cut-bridge',
    family: 'cut',
    does: 'two parts are cut from each other, and one node hears both',
    draw: (random, nodes) => ({ order: random.shuffle(nodes) as string[] }),
    shape: async (_cluster, { order }: { readonly order: readonly string[] }) => {
      const middle = Math.floor(order.length / 2)
      return between(order.slice(0, middle), order.slice(middle + 1), 'both')
    },
  }),
  fault({
    name: 'cut-pair',
    family: 'cut',
    does: 'one direction between two nodes is cut',
    draw: (random, nodes) => ({ pair: random.shuffle(nodes).slice(0, 2) as string[] }),
    shape: async (_cluster, { pair }: { readonly pair: readonly string[] }) => between([pair[0] as string], [pair[1] as string], 'there'),
  }),
  {
    ...alone('cut-flap', '', 'both'),
    does: 'one node is cut off and connected again several times a second or slower',
    lacks: (cluster) => lacksWires(cluster) ?? (cluster.wires.isQuick ? undefined : 'commands on hosts are too slow for it'),
    draw: (random, nodes) => ({ target: drawTarget(random, nodes), every: random.pick([120, 300, 900, 2_000]) }),
    inject: async (cluster, detail, id) => {
      const { target: wanted, every } = detail as { readonly target: string; readonly every: number }
      const node = await nodeOf(cluster, wanted)
      const cut = between([node], others(cluster, node), 'both')
      let isOver = false
      const flapping = (async () => {
        while (!isOver) {
          await cluster.wires.set(id, cut)
          await pause(every)
          await cluster.wires.set(id, [])
          await pause(every)
        }
      })()
      return {
        met: { node },
        heal: async () => {
          isOver = true
          await flapping
          await cluster.wires.set(id, [])
        },
      }
    },
  },
  fault({
    name: 'loss',
    family: 'loss',
    does: 'a share of all packets between the nodes is lost',
    draw: (random) => ({ percent: random.pick([2, 5, 10, 20, 40]) }),
    shape: async (cluster, { percent }: { readonly percent: number }) =>
      between(cluster.names, cluster.names, 'there', percent).filter(({ from, to }) => from !== to),
  }),
  fault({
    name: 'loss-node',
    family: 'loss',
    does: 'a large share of the packets of one node is lost',
    draw: (random, nodes) => ({ target: drawTarget(random, nodes), percent: random.pick([20, 50, 80]) }),
    shape: async (cluster, detail: Targeted & { readonly percent: number }) => {
      const node = await nodeOf(cluster, detail.target)
      return between([node], others(cluster, node), 'both', detail.percent)
    },
  }),
  ofLink('cut-link', 'cut', 'one of the two links of a node, or of all, is cut', [100]),
  ofLink('loss-link', 'loss', 'a share of the packets over one of the two links of a node, or of all, is lost', [5, 20, 50]),
  fault({
    name: 'delay',
    family: 'delay',
    does: 'all packets between the nodes are late, by chance more or less, so that datagrams overtake each other',
    needsRelay: true,
    draw: (random) => ({ delay: random.pick([2, 10, 40, 120]), jitter: random.pick([0, 5, 50]) }),
    shape: async (cluster, { delay, jitter }: { readonly delay: number; readonly jitter: number }) =>
      between(cluster.names, cluster.names, 'there', 0)
        .filter(({ from, to }) => from !== to)
        .map((one) => ({ ...one, delay, jitter })),
  }),
  fault({
    name: 'delay-node',
    family: 'delay',
    does: 'all packets of one node are very late',
    needsRelay: true,
    draw: (random, nodes) => ({ target: drawTarget(random, nodes), delay: random.pick([100, 300, 1_000]) }),
    shape: async (cluster, detail: Targeted & { readonly delay: number }) => {
      const node = await nodeOf(cluster, detail.target)
      return between([node], others(cluster, node), 'both', 0).map((one) => ({ ...one, delay: detail.delay }))
    },
  }),
  fault({
    name: 'duplicate',
    family: 'delay',
    does: 'many datagrams between the nodes come twice, the second time later',
    needsRelay: true,
    draw: (random) => ({ percent: random.pick([10, 50]) }),
    shape: async (cluster, { percent }: { readonly percent: number }) =>
      between(cluster.names, cluster.names, 'there', 0)
        .filter(({ from, to }) => from !== to)
        .map((one) => ({ ...one, duplicate: percent, jitter: 30 })),
  }),
]
