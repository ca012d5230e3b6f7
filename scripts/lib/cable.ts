/** What lies between the nodes of a cluster that shares one kernel, so that it can be cut. */
/** `in`: the node does not hear the others; `out`: they do not hear it. */
export const directions = ['both', 'in', 'out'] as const
export type Direction = (typeof directions)[number]

export interface Cable {
  cut(node: string, direction: Direction): Promise<void>
  heal(node: string): Promise<void>
  close(): Promise<void>
}

export interface Wired {
  readonly name: string
  /** Where it listens and sends from: an address of its own in 127.0.0.0/8. */
  readonly address: string
  /** Peers and heartbeats: TCP and UDP. */
  readonly port: number
  readonly guardianPort: number
  /** Where the others send to when a relay lies between. */
  readonly front?: string
}

/** All pairs, from and to, that a cut of the node in this direction silences. */
export function pairsOf(nodes: readonly { readonly name: string }[], node: string, direction: Direction): readonly string[] {
  const others = nodes.map(({ name }) => name).filter((name) => name !== node)
  return [
    ...(direction === 'out' ? [] : others.map((other) => pair(other, node))),
    ...(direction === 'in' ? [] : others.map((other) => pair(node, other))),
  ]
}

export function pair(from: string, to: string): string {
  return `${from}>${to}`
}
