/** Clocks, fence devices, crowds at the API, and changes that people make in the midst of it. */
import { connect, type Socket } from 'node:net'
import type { DeviceMode, Undo } from '../cluster/index.js'
import { drawTarget, type Fault, healed, nodeOf, onOwn } from './fault.js'

const hour = 3_600_000

const jumped: Fault = {
  name: 'clock-jump',
  family: 'clock',
  does: 'the wall clock of one node, or of all, is wrong by up to years',
  lasts: [2_000, 9_000],
  takesAway: false,
  mayStop: false,
  lacks: (cluster) => cluster.noWrongClocks,
  draw: (random, nodes) => ({
    target: random.chance(0.25) ? 'all' : drawTarget(random, nodes),
    by: random.pick([-2 * 365 * 24 * hour, -hour, -1_500, 1_500, hour, 2 * 365 * 24 * hour]),
  }),
  inject: async (cluster, detail) => {
    const { target, by } = detail as { readonly target: string; readonly by: number }
    const nodes = target === 'all' ? [...cluster.names] : [await nodeOf(cluster, target)]
    const undo: Undo[] = []
    const met: Record<string, number> = {}
    for (const node of nodes) {
      const jumped = await cluster.jumpClock(node, by)
      met[node] = jumped.by
      undo.push(jumped.undo)
    }
    return {
      met: { by: met },
      heal: async () => {
        for (const one of undo) await one()
      },
    }
  },
}

const drifting = onOwn({
  name: 'clock-drift',
  family: 'clock',
  does: 'the wall clock of one node runs at half or twice its speed',
  lasts: [3_000, 12_000],
  takesAway: false,
  mayStop: false,
  lacks: (own) => own.noWrongClocks,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes), rate: random.pick([-500_000, 100_000, 1_000_000]) }),
  inject: async (cluster, detail) => {
    const { target, rate } = detail as { readonly target: string; readonly rate: number }
    const node = await nodeOf(cluster, target)
    cluster.shim(node)?.set({ clockRatePpm: rate })
    return { met: { node }, heal: async () => cluster.shim(node)?.set({ clockRatePpm: undefined }) }
  },
})

/** Only something where a node is lost at the same time. */
function device(mode: DeviceMode, does: string): Fault {
  return onOwn({
    name: `device-${mode}`,
    family: 'device',
    does,
    lasts: [5_000, 20_000],
    takesAway: false,
    mayStop: false,
    draw: (random, nodes) => ({ target: random.chance(0.5) ? 'all' : random.pick(nodes) }),
    inject: async (cluster, detail) => {
      const { target } = detail as { readonly target: string }
      const nodes = target === 'all' ? [...cluster.names] : [target]
      for (const node of nodes) cluster.setDevice(node, mode)
      return {
        met: { nodes },
        heal: async () => {
          for (const node of nodes) cluster.setDevice(node, 'honest')
        },
      }
    },
  })
}

/** The node that runs the service is cut off and must be fenced, with a device that does not do what it should. */
function cutWith(mode: DeviceMode): Fault {
  return onOwn({
    name: `cut-device-${mode}`,
    family: 'device',
    does: `the node that runs the service is cut off, and its fence device is ${mode}`,
    lasts: [11_000, 16_000],
    takesAway: true,
    mayStop: true,
    draw: () => ({ target: 'holder' }),
    inject: async (cluster, _detail, id) => {
      const node = await nodeOf(cluster, 'holder')
      cluster.setDevice(node, mode)
      const others = cluster.names.filter((name) => name !== node)
      await cluster.wires.set(
        id,
        others.flatMap((other) => [
          { from: node, to: other, loss: 100 },
          { from: other, to: node, loss: 100 },
        ]),
      )
      return {
        met: { node },
        heal: async () => {
          await cluster.wires.set(id, [])
          cluster.setDevice(node, 'honest')
        },
      }
    },
  })
}

const flooded: Fault = {
  name: 'flood',
  family: 'flood',
  does: 'hundreds of connections to the API of one node, idle or crawling',
  lasts: [3_000, 9_000],
  takesAway: false,
  mayStop: false,
  lacks: (cluster) =>
    cluster.names.every((node) => cluster.apiAddress(node) !== undefined) ? undefined : 'this process does not reach the APIs by TCP',
  draw: (random, nodes) => ({ target: drawTarget(random, nodes), connections: random.pick([100, 300, 600]) }),
  inject: async (cluster, detail) => {
    const { target, connections } = detail as { readonly target: string; readonly connections: number }
    const node = await nodeOf(cluster, target)
    const { host, port } = cluster.apiAddress(node) as { readonly host: string; readonly port: number }
    const sockets: Socket[] = []
    for (let at = 0; at < connections; at++) {
      const socket = connect({ host, port })
      socket.on('error', () => undefined)
      socket.on('data', () => undefined)
      // Half of them begin a request and never finish it.
      if (at % 2 === 0) socket.write('PUT /v1/store/flood HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{')
      sockets.push(socket)
    }
    return { met: { node }, heal: async () => void sockets.map((socket) => socket.destroy()) }
  },
}

const transferred: Fault = {
  name: 'transfer',
  family: 'change',
  does: 'the lead is handed over several times',
  lasts: [2_000, 5_000],
  takesAway: false,
  mayStop: false,
  draw: (random, nodes) => ({ to: random.shuffle(nodes) as string[] }),
  inject: async (cluster, detail) => {
    const { to } = detail as { readonly to: readonly string[] }
    for (const node of to) await cluster.ask('POST', '/v1/leader/transfer?wait=2s', { to: node })
    return { met: {}, heal: healed }
  },
}

/** By its fence device, through the API, as an operator would; the device turns it on again. */
const fenced: Fault = {
  name: 'fence-node',
  family: 'fence',
  does: 'a node is cut off by its fence device, as an operator would have it; only when it is named',
  lasts: [8_000, 15_000],
  takesAway: true,
  mayStop: true,
  onlyByName: true,
  draw: (random, nodes) => ({ target: drawTarget(random, nodes) }),
  inject: async (cluster, detail) => {
    const node = await nodeOf(cluster, (detail as { readonly target: string }).target)
    const other = cluster.names.find((name) => name !== node)
    const { status, body } = await cluster.ask('POST', `/v1/nodes/${node}/fence?wait=20s`, { node, reason: 'a chaos run' }, other)
    return { met: { node, status, ...(status < 300 ? {} : { code: String(body.code ?? '') }) }, heal: healed }
  },
}

const reconfigured = onOwn({
  name: 'settings',
  family: 'change',
  does: 'the profile is changed, and changed back',
  lasts: [4_000, 9_000],
  takesAway: false,
  mayStop: false,
  draw: (random) => ({ profile: random.pick(['normal', 'slow']) }),
  inject: async (cluster, detail) => {
    const { settings } = (await cluster.ask('GET', '/v1/settings')).body as { readonly settings?: { readonly profile: string } }
    const before = settings?.profile
    // Without knowing what there was, it could not be put back.
    if (before === undefined) return { met: { before: null }, heal: healed }
    await cluster.ask('PATCH', '/v1/settings', detail)
    return {
      met: { before },
      heal: async () => void (await cluster.ask('PATCH', '/v1/settings', { profile: before })),
    }
  },
})

export const otherFaults: readonly Fault[] = [
  jumped,
  drifting,
  device('broken', 'the fence device of a node, or of all, does not answer'),
  device('refuse', 'the fence device of a node, or of all, refuses'),
  device('slow', 'the fence device of a node, or of all, takes five seconds longer'),
  device('deaf', 'the fence device of a node, or of all, says that it has switched off, and has not; its status is true'),
  cutWith('deaf'),
  cutWith('broken'),
  cutWith('refuse'),
  flooded,
  transferred,
  fenced,
  reconfigured,
]
