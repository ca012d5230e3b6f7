/** Tells the monitor of this node what agents are to find there without asking (the node's notes, and who is what among the copies), and which fence agents to keep ready. */
import type { BootId, GroupName, NodeId } from '../base/index.js'
import { type ClusterState, type CopyLists, copyLists, instanceName, type TableName } from '../core/cluster/index.js'
import type { MonitorOrder } from '../core/monitor/index.js'
import { notesFor } from './agent-questions.js'
import { programsKeptReady } from './fence-calls.js'

export interface AgentNewsDoors {
  readonly self: NodeId
  readonly boot: BootId
  readonly send: (order: MonitorOrder) => void
}

export class AgentNews {
  private readonly doors: AgentNewsDoors
  private copiesSent = '{}'
  private readySent = '[]'

  constructor(doors: AgentNewsDoors) {
    this.doors = doors
  }

  /** Tables have changed. */
  look(state: ClusterState, isChanged: (table: TableName) => boolean): void {
    if (isChanged('notes')) this.tellNotes(state)
    if (isChanged('groups') || isChanged('scalables')) this.tellCopies(state)
    if (isChanged('nodes')) this.tellReady(state)
  }

  /** One that knows nothing of all this. */
  monitorCame(state: ClusterState): void {
    this.copiesSent = '{}'
    this.readySent = '[]'
    this.tellNotes(state)
    this.tellCopies(state)
    this.tellReady(state)
  }

  private tellNotes(state: ClusterState): void {
    const order = notesFor(state, this.doors.self, this.doors.boot)
    if (order !== undefined) this.doors.send(order)
  }

  private tellCopies(state: ClusterState): void {
    const groups: Record<GroupName, CopyLists> = {}
    for (const [, row] of state.rows('scalables'))
      if (row.definition.notify === true && state.get('groups', instanceName(row.name, this.doors.self)) !== undefined)
        groups[row.name] = copyLists(state, row)
    const told = JSON.stringify(groups)
    if (told === this.copiesSent) return
    this.copiesSent = told
    this.doors.send({ kind: 'copies', groups })
  }

  private tellReady(state: ClusterState): void {
    const programs = programsKeptReady(state, this.doors.self)
    const told = JSON.stringify(programs)
    if (told === this.readySent) return
    this.readySent = told
    this.doors.send({ kind: 'ready', programs })
  }
}
