/** Three members of one kind, Quorate or etcd, as the benchmark handles them. */

export const names = ['n1', 'n2', 'n3'] as const
export type Name = (typeof names)[number]

/** Where members live: their addresses, and what is put before their commands. */
export interface Place {
  readonly address: (name: Name) => string
  readonly prefix: (name: Name) => readonly string[]
}

export interface System {
  readonly kind: 'quorate' | 'etcd'
  /** Its HTTP face, `host:port`. */
  target(name: Name): string
  /** Undefined while there is none. */
  leader(): Promise<Name | undefined>
  /** Every member answers and has all that is committed. */
  settled(): Promise<boolean>
  /** Index of the last entry that the member has applied; -1 where it does not answer. */
  applied(name: Name): Promise<number>
  pids(name: Name): readonly number[]
  /** Kills everything of the member, as a loss of power would. */
  kill(name: Name): void
  start(name: Name): Promise<void>
  folder(name: Name): string
  close(): Promise<void>
}

/** All members here, one of them leading. Answers with the leader and the others. */
export async function settle(system: System): Promise<{ readonly leader: Name; readonly followers: readonly Name[] }> {
  const end = Date.now() + 60_000
  for (;;) {
    const leader = await system.leader()
    if (leader !== undefined && (await system.settled())) return { leader, followers: names.filter((name) => name !== leader) }
    if (Date.now() > end) throw new Error(`${system.kind}: the members did not come together within a minute`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
