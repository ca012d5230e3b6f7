/**
 * Who reaches whom, by what each node last said: which voter would lead better, which of several silent nodes is removed
 * first, and what is one step from trouble. Nothing here condemns anybody.
 */
import type { NodeId } from '../../base/index.js'

/** What a node last said of the others. */
export interface Sight {
  /** Milliseconds since it said so. */
  readonly age: number
  /** Those that it hears and that say that they hear it. */
  readonly mutual: readonly NodeId[]
  /** How long each that it ever heard had been silent then. Milliseconds. */
  readonly heard: { readonly [node: NodeId]: number }
  /** Those that it hears over one link of several. */
  readonly oneLink: readonly NodeId[]
}

export type SightOf = (node: NodeId) => Sight | undefined

/** Somebody else has heard the node less than `within` milliseconds ago, counted to now. */
export function isHeardBy(sight: Sight | undefined, node: NodeId, within: number): boolean {
  const silence = sight?.heard[node]
  return sight !== undefined && silence !== undefined && silence + sight.age < within
}

/** Of these, who reaches strictly more nodes both ways than `self`, the silent one among them; the one that reaches most, then by name. */
export function whoReachesMore(
  self: NodeId,
  silent: NodeId,
  candidates: readonly NodeId[],
  sightOf: SightOf,
  within: number,
): NodeId | undefined {
  const own = sightOf(self)?.mutual.length ?? 0
  return candidates
    .flatMap((node) => {
      const { mutual = [] } = (node === self ? undefined : sightOf(node)) ?? {}
      return mutual.length > own && mutual.includes(silent) && isHeardBy(sightOf(node), silent, within)
        ? [{ node, count: mutual.length }]
        : []
    })
    .sort((a, b) => b.count - a.count || (a.node < b.node ? -1 : 1))[0]?.node
}

export interface Removal {
  readonly node: NodeId
  /** The largest set that all reach each other without it. */
  readonly leaves: readonly NodeId[]
  /** Sum of the priorities of the groups that it holds. */
  readonly priority: number
}

/**
 * Of several silent nodes, the one whose removal leaves the largest fully connected set comes first; of equals the one whose
 * groups matter less, then the last by name.
 */
export function orderOfRemoval(
  nodes: readonly NodeId[],
  silent: readonly NodeId[],
  sightOf: SightOf,
  within: number,
  priorityOf: (node: NodeId) => number,
): readonly Removal[] {
  const says = (a: NodeId, b: NodeId): boolean => {
    const sight = sightOf(a)
    return sight !== undefined && sight.age < within && sight.mutual.includes(b)
  }
  const isEdge = (a: NodeId, b: NodeId): boolean => says(a, b) || says(b, a)
  return silent
    .map((node) => ({
      node,
      leaves: largestClique(
        nodes.filter((other) => other !== node),
        isEdge,
      ),
      priority: priorityOf(node),
    }))
    .sort((a, b) => b.leaves.length - a.leaves.length || a.priority - b.priority || (a.node < b.node ? 1 : -1))
}

/** The first in the order of the names, of equally large ones. A cluster has a handful of nodes. */
function largestClique(nodes: readonly NodeId[], isEdge: (a: NodeId, b: NodeId) => boolean): readonly NodeId[] {
  let best: readonly NodeId[] = []
  const grow = (clique: readonly NodeId[], rest: readonly NodeId[]): void => {
    if (clique.length + rest.length <= best.length) return
    const [next, ...others] = rest
    if (next === undefined) {
      best = clique
      return
    }
    grow(
      [...clique, next],
      others.filter((other) => isEdge(next, other)),
    )
    grow(clique, others)
  }
  grow([], [...nodes].sort())
  return best
}

/** Why each of these, which all live, is one step from trouble; nothing where all of them reach each other over all links. */
export function jeopardyOf(living: readonly NodeId[], sightOf: SightOf, within: number): ReadonlyMap<NodeId, readonly string[]> {
  const reasons = new Map<NodeId, string[]>(living.map((node) => [node, []]))
  const fresh = living.filter((node) => (sightOf(node)?.age ?? within) < within)
  for (const [at, a] of fresh.entries())
    for (const b of fresh.slice(at + 1)) {
      const [ofA, ofB] = [sightOf(a), sightOf(b)]
      const reason = between(a, b, ofA as Sight, ofB as Sight)
      if (reason === undefined) continue
      reasons.get(a)?.push(reason)
      reasons.get(b)?.push(reason)
    }
  return reasons
}

function between(a: NodeId, b: NodeId, ofA: Sight, ofB: Sight): string | undefined {
  // Each of both has to say so: one of them may only be the first to notice.
  if (!ofA.mutual.includes(b) && !ofB.mutual.includes(a)) return `${a} and ${b} do not reach each other both ways`
  return ofA.oneLink.includes(b) || ofB.oneLink.includes(a) ? `one link is left between ${a} and ${b}` : undefined
}
