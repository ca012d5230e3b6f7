/**
 * Which member is which node, and where it is reached: read from the Raft configuration in force.
 *
 * Members that were known once stay known by name: one that is leaving is still told so.
 */
import type { MemberId, NodeId } from '../base/index.js'
import type { Address } from '../core/cluster/index.js'
import { type Configuration, membersOf, votersOf } from '../core/raft/index.js'

const knownMax = 1_000

export class Membership {
  private readonly self: { readonly node: NodeId; readonly member: MemberId }
  private readonly nodes = new Map<MemberId, NodeId>()
  private current: Configuration
  private known: ReadonlyMap<NodeId, readonly Address[]> | undefined
  private voting: readonly NodeId[] | undefined

  constructor(self: { readonly node: NodeId; readonly member: MemberId }, configuration: Configuration) {
    this.self = self
    this.current = configuration
    this.nodes.set(self.member, self.node)
    this.take(configuration)
  }

  take(configuration: Configuration): void {
    this.current = configuration
    this.known = undefined
    this.voting = undefined
    for (const [member, place] of Object.entries(configuration.places)) this.nodes.set(member as MemberId, place.node)
  }

  /** Who speaks as `member` is that node: one that is not taken in yet learns of its leader so. */
  learn(member: MemberId, node: NodeId): void {
    if (this.nodes.has(member) || this.nodes.size >= knownMax) return
    this.nodes.set(member, node)
    this.voting = undefined
  }

  get configuration(): Configuration {
    return this.current
  }

  /** This member belongs, or has not been taken in yet. */
  get isEmpty(): boolean {
    return membersOf(this.current).length === 0
  }

  nodeOf(member: MemberId): NodeId | undefined {
    return this.nodes.get(member)
  }

  /** Every other member: more than one of a node while its new life takes over from the former one. */
  get others(): readonly MemberId[] {
    return membersOf(this.current).filter((member) => member !== this.self.member)
  }

  /** Names of all nodes with a vote. */
  get voters(): readonly NodeId[] {
    this.voting ??= names(votersOf(this.current), this.nodes)
    return this.voting
  }

  /** The node's member that has a vote, or else any: who may be handed the lead. */
  memberOf(node: NodeId): MemberId | undefined {
    const fits = (member: MemberId): boolean => this.nodes.get(member) === node
    return this.current.voters.find(fits) ?? membersOf(this.current).findLast(fits)
  }

  /** All nodes, this one included, with the addresses that the configuration has for them. */
  get places(): ReadonlyMap<NodeId, readonly Address[]> {
    this.known ??= this.makePlaces()
    return this.known
  }

  private makePlaces(): ReadonlyMap<NodeId, readonly Address[]> {
    const places = new Map<NodeId, readonly Address[]>([[this.self.node, []]])
    for (const member of membersOf(this.current)) {
      const place = this.current.places[member]
      // The later life of a node that has two says where it is now.
      if (place !== undefined) places.set(place.node, place.addresses)
    }
    return places
  }
}

function names(members: readonly MemberId[], nodes: ReadonlyMap<MemberId, NodeId>): readonly NodeId[] {
  return [...new Set(members.flatMap((member) => nodes.get(member) ?? []))]
}
