/** Workloads over the group and its service: who answers at its address, moves, and what operators do all day. */
import { type Cluster, groupName } from '../cluster/index.js'
import { every, random, stagger } from '../core/index.js'
import { type Client, changed, type Workload } from './workload.js'

/** Asks at the service's address at a steady rhythm; its answers say which copy gave them. */
export const owner: Workload = {
  name: 'owner',
  does: 'a service with a journal and a kernel’s lock, asked at its address all the time: who answers, gaps, hand-over of checkpoints',
  clients: () => 1,
  generator: (seed) =>
    stagger(
      25,
      seed,
      'owner',
      every(() => ({ f: 'ask' })),
    ),
  open: ({ cluster }) => ({
    async perform() {
      const answer = await cluster.askService(1_000)
      return answer === undefined ? { type: 'fail', error: 'no answer' } : { type: 'ok', value: { ...answer } }
    },
  }),
  judges: ['one-owner', 'no-late-owner', 'checkpoints', 'takeovers', 'gaps', 'no-needless-action', 'proof-before-grant'],
}

export const switchover: Workload = {
  name: 'switchover',
  does: 'the group is moved from node to node',
  clients: () => 1,
  generator: (seed) =>
    stagger(
      3_500,
      seed,
      'switchover',
      random(seed, 'switchover', (chance) => ({ f: 'move', value: chance.between(0, 99) })),
    ),
  open: ({ cluster, node }) => ({
    async perform({ value }) {
      const to = cluster.names[(value as number) % cluster.names.length] as string
      const answer = await cluster.api(node).call('POST', `/v1/groups/${groupName}/move?wait=5s`, { to })
      return changed(answer, { to, status: String(answer.body.status ?? '') })
    },
  }),
}

type Act = (cluster: Cluster, node: string) => readonly [path: string, body: unknown]

/** Each undone by another one; the last ones undo all. */
const acts: Readonly<Record<string, Act>> = {
  standby: (_cluster, node) => [`/v1/nodes/${node}/standby`, {}],
  activate: (_cluster, node) => [`/v1/nodes/${node}/activate`, {}],
  'group-offline': () => [`/v1/groups/${groupName}/offline`, {}],
  'group-online': () => [`/v1/groups/${groupName}/online`, {}],
  'group-restart': () => [`/v1/groups/${groupName}/restart`, {}],
  freeze: () => [`/v1/groups/${groupName}/freeze`, { for: '4s', owner: 'chaos', reason: 'a chaos run' }],
  unfreeze: () => [`/v1/groups/${groupName}/unfreeze`, {}],
  clear: () => [`/v1/groups/${groupName}/clear`, {}],
  'clear-node': (_cluster, node) => [`/v1/nodes/${node}/clear`, {}],
}

export const operators: Workload = {
  name: 'operators',
  does: 'standby and back, offline and online, restart, freeze, clear, in any order',
  clients: () => 2,
  generator: (seed, client) =>
    stagger(
      1_500,
      seed,
      `operators/${client}`,
      random(seed, `operators/${client}`, (chance) => ({ f: chance.pick(Object.keys(acts)), value: chance.between(0, 99) })),
    ),
  open: ({ cluster, node }): Client => ({
    async perform({ f, value }) {
      const about = cluster.names[(value as number) % cluster.names.length] as string
      const [path, body] = (acts[f] as Act)(cluster, about)
      return changed(await cluster.api(node).call('POST', path, body, { timeoutMs: 10_000 }), { node: about })
    },
  }),
}

/** What operators may have left undone. */
export async function undoOperators(cluster: Cluster): Promise<void> {
  for (const node of cluster.names) await cluster.ask('POST', `/v1/nodes/${node}/activate`, {})
  for (const verb of ['unfreeze', 'clear', 'online']) await cluster.ask('POST', `/v1/groups/${groupName}/${verb}`, {})
}

export const serviceWorkloads: readonly Workload[] = [owner, switchover, operators]
