/** Workloads over the group and its service: who answers at its address, moves, and what operators do all day. */
import type { Cluster } from '../cluster/index.js'
import { every, random, stagger } from '../core/index.js'
import { type Client, changed, type Workload } from './workload.js'

const lacksGroup = ({ group }: Cluster): string | undefined => (group === undefined ? 'no group is named' : undefined)

/** Asks at the service's address at a steady rhythm; its answers say which copy gave them. */
export const owner: Workload = {
  name: 'owner',
  does: 'a service with a journal and a kernel’s lock, asked at its address all the time: who answers, gaps, hand-over of checkpoints',
  lacks: (cluster) => (cluster.hasJournalService ? undefined : 'the service is not the journal service of the harness'),
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

/** The same for a service of any kind. */
export const address: Workload = {
  name: 'address',
  does: 'any service, asked at its address all the time: gaps, and who answers where it says so',
  lacks: (cluster) => (cluster.hasAddress ? undefined : 'no address of a service is named'),
  clients: () => 1,
  generator: (seed) =>
    stagger(
      50,
      seed,
      'address',
      every(() => ({ f: 'ask' })),
    ),
  open: ({ cluster }) => ({
    async perform() {
      const answer = await cluster.askAddress(1_000)
      return answer === undefined ? { type: 'fail', error: 'no answer' } : { type: 'ok', value: { ...answer } }
    },
  }),
  judges: ['address-gaps', 'one-answerer'],
}

export const switchover: Workload = {
  name: 'switchover',
  does: 'the group is moved from node to node',
  lacks: lacksGroup,
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
      const answer = await cluster.api(node).call('POST', `/v1/groups/${cluster.group}/move?wait=5s`, { to })
      return changed(answer, { to, status: String(answer.body.status ?? '') })
    },
  }),
  judges: ['proof-before-grant'],
}

type Act = (cluster: Cluster, node: string) => readonly [path: string, body: unknown]

/** Each undone by another one; the last ones undo all. */
const acts: Readonly<Record<string, Act>> = {
  standby: (_cluster, node) => [`/v1/nodes/${node}/standby`, {}],
  activate: (_cluster, node) => [`/v1/nodes/${node}/activate`, {}],
  'group-offline': (cluster) => [`/v1/groups/${cluster.group}/offline`, {}],
  'group-online': (cluster) => [`/v1/groups/${cluster.group}/online`, {}],
  'group-restart': (cluster) => [`/v1/groups/${cluster.group}/restart`, {}],
  freeze: (cluster) => [`/v1/groups/${cluster.group}/freeze`, { for: '4s', owner: 'chaos', reason: 'a chaos run' }],
  unfreeze: (cluster) => [`/v1/groups/${cluster.group}/unfreeze`, {}],
  clear: (cluster) => [`/v1/groups/${cluster.group}/clear`, {}],
  'clear-node': (_cluster, node) => [`/v1/nodes/${node}/clear`, {}],
}

export const operators: Workload = {
  name: 'operators',
  does: 'standby and back, offline and online, restart, freeze, clear, in any order',
  onlyByName: true,
  lacks: lacksGroup,
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
  for (const verb of ['unfreeze', 'clear', 'online']) await cluster.ask('POST', `/v1/groups/${cluster.group}/${verb}`, {})
}

export const serviceWorkloads: readonly Workload[] = [owner, address, switchover, operators]
