/** Changes that leave events, and followers of the stream at every node who must see each of them once and in order. */

import type { Cluster } from '../cluster/index.js'
import { random, stagger } from '../core/index.js'
import { changed, type Workload } from './workload.js'

export const events: Workload = {
  name: 'events',
  does: 'changes of nodes’ attributes; at every node somebody follows the events, from where the last stream broke off',
  clients: (nodes) => nodes,
  generator: (seed, client) =>
    stagger(
      400,
      seed,
      `events/${client}`,
      random(seed, `events/${client}`, (chance, at) => ({ f: 'mark', key: chance.between(0, 99), value: `${client}.${at}` })),
    ),
  open: ({ cluster, node }) => ({
    async perform({ key, value }) {
      const about = cluster.names[(key as number) % cluster.names.length] as string
      const answer = await cluster.api(node).call('PATCH', `/v1/nodes/${about}`, { attributes: { [cluster.prefix]: value } })
      return changed(answer, { about, revision: Number(answer.body.revision ?? 0) })
    },
  }),
  judges: ['events'],
}

export interface Seen {
  readonly revision: number
  readonly number: number
  readonly kind: string
}

/** Follows at one node until told to end; each stream goes on after the last event of the one before. */
export class Follower {
  readonly node: string
  readonly #ending = new AbortController()
  readonly #done: Promise<void>

  constructor(cluster: Cluster, node: string, onEvent: (event: Seen) => void) {
    this.node = node
    this.#done = this.#follow(cluster, onEvent)
  }

  async #follow(cluster: Cluster, onEvent: (event: Seen) => void): Promise<void> {
    const { signal } = this.#ending
    let last: Seen | undefined
    while (!signal.aborted) {
      // A revision may have several events: the last one is asked for again, and what is known of it passed over.
      const known = last
      await cluster.api(this.node).lines(
        `/v1/events?from=${known?.revision ?? cluster.firstRevision}`,
        (line) => {
          const event = JSON.parse(line) as Partial<Seen>
          if (event.revision === undefined || event.number === undefined) return
          if (known !== undefined && event.revision === known.revision && event.number <= known.number) return
          last = { revision: event.revision, number: event.number, kind: String(event.kind) }
          onEvent(last)
        },
        signal,
      )
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async end(): Promise<void> {
    this.#ending.abort()
    await this.#done
  }
}

/** All that a node's journal keeps of the run. Undefined where it did not answer. */
export async function allEvents(cluster: Cluster, node: string): Promise<readonly Readonly<Record<string, unknown>>[] | undefined> {
  const found: Record<string, unknown>[] = []
  const status = await cluster
    .api(node)
    .lines(`/v1/events?from=${cluster.firstRevision}&follow=false`, (line) => found.push(JSON.parse(line)), AbortSignal.timeout(20_000))
  return status === 200 ? found : undefined
}
