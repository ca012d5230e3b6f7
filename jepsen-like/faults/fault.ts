/** A fault and how it is healed. */
import type { Json } from '../checkers/index.js'
import type { Cluster, OwnCluster } from '../cluster/index.js'
import type { FaultKind, Random } from '../core/index.js'

export interface Fault extends FaultKind {
  /** The word under which several are asked for. */
  readonly family: string
  readonly does: string
  /** It may end the service where it runs, or have a node fenced. Of one that may not, the service must take no notice. */
  readonly mayStop: boolean
  /** Too much to come unless it is named: not among "mixed", nor by its family. */
  readonly onlyByName?: true
  /** Why this cluster cannot have it; undefined where it can. */
  readonly lacks?: (cluster: Cluster) => string | undefined
  /** `id` is the fault's own, under which it asks for impairments of the wires. */
  readonly inject: (cluster: Cluster, detail: Json, id: number) => Promise<Injected>
}

export interface Injected {
  /** What it met: the node that led, for example. */
  readonly met: Json
  readonly heal: () => Promise<void>
}

/** A node by its part: who leads or holds the service when the fault comes, or one by name. */
export type Target = string

export function drawTarget(random: Random, nodes: readonly string[]): Target {
  return random.pick(['leader', 'holder', 'other', random.pick(nodes)])
}

export async function nodeOf(cluster: Cluster, target: Target): Promise<string> {
  if (cluster.names.includes(target)) return target
  const holder = target === 'leader' ? undefined : await cluster.holder()
  const leader = target === 'holder' ? undefined : await cluster.leader()
  const others = cluster.names.filter((name) => name !== holder && name !== leader)
  const found = target === 'leader' ? leader : target === 'holder' ? holder : others[0]
  return found ?? (cluster.names[0] as string)
}

export const healed = async (): Promise<void> => undefined

interface OwnFault extends Omit<Fault, 'lacks' | 'inject'> {
  readonly lacks?: (own: OwnCluster) => string | undefined
  readonly inject: (own: OwnCluster, detail: Json, id: number) => Promise<Injected>
}

/** Needs what only a cluster of the harness's own has. */
export function onOwn({ lacks, inject, ...fault }: OwnFault): Fault {
  return {
    ...fault,
    lacks: ({ own }) => (own === undefined ? 'only a cluster of the harness’s own has that' : lacks?.(own)),
    inject: ({ own }, detail, id) => inject(own as OwnCluster, detail, id),
  }
}
