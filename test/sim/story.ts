/** A simulated cluster for a story: `web` runs on n1, and n2 leads. What goes wrong is told by the test. */
import assert from 'node:assert/strict'
import type { NodeId } from '../../src/base/index.js'
import type { CaseRow, GroupDefinition, GroupRow, NodeRow } from '../../src/core/cluster/index.js'
import type { Machine } from './machine.js'
import { groupOf, World, type WorldOptions } from './world.js'

export const web = 'web' as never

export class Story {
  readonly world: World

  /** `web` runs on n1, and n2 leads. */
  constructor(options: Partial<WorldOptions> = {}, group: Partial<GroupDefinition> = {}) {
    this.world = new World({ seed: 11, profile: 'fast', ...options })
    this.world.start({ web: { ...groupOf(this.world.names), ...group } })
    this.lead('n2')
    assert.deepEqual(this.running, ['n1'])
  }

  machine(name: string): Machine {
    const found = this.world.machine(name)
    assert.ok(found !== undefined)
    return found
  }

  lead(name: string): void {
    const holds = () => this.world.leader?.name === name && this.world.leader.daemon?.node?.holdsLease() === true
    this.world.until(
      `${name} leads`,
      () => {
        if (holds()) return true
        this.world.leader?.daemon?.node?.transferLead(name as NodeId)
        this.world.run(500)
        return false
      },
      20_000,
    )
  }

  get running(): string[] {
    return this.world.truth.where('web').map((one) => one.name)
  }

  get web(): GroupRow | undefined {
    return this.world.leader?.daemon?.node?.state.get('groups', web)
  }

  node(name: string): NodeRow | undefined {
    return this.world.leader?.daemon?.node?.state.get('nodes', name)
  }

  get cases(): readonly CaseRow[] {
    return [...(this.world.leader?.daemon?.node?.state.rows('cases') ?? [])]
      .map(([, row]) => row)
      .sort((a, b) => a.openedIndex - b.openedIndex)
  }

  offs(name: string): number {
    return this.world.deviceCalls.filter(({ of, action }) => of === name && action === 'off').length
  }

  /** Nothing comes from these to the others, and nothing to them. */
  part(...names: string[]): void {
    for (const one of names)
      for (const other of this.world.names.filter((name) => !names.includes(name))) {
        this.world.network.cut(one, other, 'loses')
        this.world.network.cut(other, one, 'loses')
      }
  }

  moved(bound = 60_000): void {
    this.world.until('web runs elsewhere', () => this.running.length === 1 && this.running[0] !== 'n1', bound)
  }

  settled(bound = 120_000): void {
    this.world.until('all is well', () => this.world.isSettled(), bound)
  }

  fence(name: string, id = 'op'): void {
    this.world.must({
      kind: 'start-operation',
      operation: `${id}-${name}`,
      operationKind: 'fence',
      subject: name as NodeId,
      detail: 'a test: because',
    })
  }
}
