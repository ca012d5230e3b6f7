/** Steps that must come before others, those that real time puts before others included: is there a ring? */

export interface Precedence {
  readonly from: number
  readonly to: number
  /** Read as "from … to". */
  readonly why: string
}

const realTime = 'completed before the beginning of'

interface Graph {
  /** Nodes from here on are the row of completions. */
  readonly row: number
  readonly edges: readonly (readonly number[])[]
}

/**
 * Nodes below `steps.length` are the steps; others, up to `nodes`, only pass precedence on. Undefined when there is no ring; else a
 * short one, where each `to` is the next `from`.
 */
export function findRing(
  nodes: number,
  order: readonly Precedence[],
  steps: readonly { readonly invoked: number; readonly returned: number }[],
): readonly Precedence[] | undefined {
  const graph = build(nodes, order, steps)
  const component = components(graph)
  const members = new Map<number, number[]>()
  for (const [at, own] of component.entries()) {
    if (at >= steps.length) continue
    const known = members.get(own)
    if (known === undefined) members.set(own, [at])
    else known.push(at)
  }
  const rings = [...members.values()].filter((list) => list.length > 1)
  if (rings.length === 0) return undefined
  const whys = new Map(order.map((edge) => [`${edge.from} ${edge.to}`, edge.why]))
  const smallest = rings.reduce((a, b) => (b.length < a.length ? b : a))
  const paths = smallest.slice(0, 40).map((start) => ringThrough(graph, component, start))
  const length = (path: readonly number[]) => path.filter((at) => at < nodes).length
  const path = paths.reduce((a, b) => (length(b) < length(a) ? b : a))
  // What lies between nodes of the caller is real time.
  const own = path.filter((at) => at < nodes)
  return own.map((from, at) => {
    const to = own[(at + 1) % own.length] as number
    return { from, to, why: whys.get(`${from} ${to}`) ?? realTime }
  })
}

/** One node more for each completion, in a row: a step is before the node of its completion, that before all that begins later. */
function build(
  nodes: number,
  order: readonly Precedence[],
  steps: readonly { readonly invoked: number; readonly returned: number }[],
): Graph {
  const completed = [...steps.keys()]
    .filter((at) => (steps[at]?.returned ?? 0) < Number.POSITIVE_INFINITY)
    .sort((a, b) => (steps[a]?.returned ?? 0) - (steps[b]?.returned ?? 0))
  const edges: number[][] = Array.from({ length: nodes + completed.length }, () => [])
  for (const { from, to } of order) edges[from]?.push(to)
  for (const [at, step] of completed.entries()) {
    edges[step]?.push(nodes + at)
    if (at > 0) edges[nodes + at - 1]?.push(nodes + at)
  }
  let before = 0
  const byInvocation = [...steps.keys()].sort((a, b) => (steps[a]?.invoked ?? 0) - (steps[b]?.invoked ?? 0))
  for (const step of byInvocation) {
    while (before < completed.length && (steps[completed[before] as number]?.returned ?? 0) < (steps[step]?.invoked ?? 0)) before += 1
    if (before > 0) edges[nodes + before - 1]?.push(step)
  }
  return { edges, row: nodes }
}

/** The strongly connected component of each node (Tarjan 1972, without recursion). */
function components({ edges }: Graph): Int32Array {
  const component = new Int32Array(edges.length).fill(-1)
  const index = new Int32Array(edges.length).fill(-1)
  const low = new Int32Array(edges.length)
  const next = new Int32Array(edges.length)
  const open: number[] = []
  let [count, found] = [0, 0]
  for (let root = 0; root < edges.length; root += 1) {
    if (index[root] !== -1) continue
    const path = [root]
    while (path.length > 0) {
      const at = path[path.length - 1] as number
      if (index[at] === -1) {
        index[at] = count
        low[at] = count
        count += 1
        open.push(at)
      }
      const to = edges[at]?.[next[at] as number]
      if (to !== undefined) {
        next[at] = (next[at] as number) + 1
        if (index[to] === -1) path.push(to)
        else if (component[to] === -1) low[at] = Math.min(low[at] as number, index[to] as number)
        continue
      }
      path.pop()
      const parent = path[path.length - 1]
      if (parent !== undefined) low[parent] = Math.min(low[parent] as number, low[at] as number)
      if (low[at] !== index[at]) continue
      for (;;) {
        const member = open.pop() as number
        component[member] = found
        if (member === at) break
      }
      found += 1
    }
  }
  return component
}

/** A way with the fewest steps from a node back to it, inside its component; to go along the row of completions costs nothing. */
function ringThrough({ edges, row }: Graph, component: Int32Array, start: number): readonly number[] {
  const cameFrom = new Map<number, number>()
  const settled = new Set<number>()
  let now = [start]
  while (now.length > 0) {
    const later: number[] = []
    for (const at of now) {
      if (settled.has(at)) continue
      settled.add(at)
      for (const to of edges[at] ?? []) {
        if (to === start) return back(cameFrom, start, at)
        if (component[to] !== component[start] || cameFrom.has(to)) continue
        cameFrom.set(to, at)
        if (to >= row) now.push(to)
        else later.push(to)
      }
    }
    now = later
  }
  return [start]
}

function back(cameFrom: ReadonlyMap<number, number>, start: number, end: number): readonly number[] {
  const path = [end]
  while (path[path.length - 1] !== start) path.push(cameFrom.get(path[path.length - 1] as number) as number)
  return path.reverse()
}
