/** What people ask of a single resource where it runs: a probe at once, or an action. Asked of the node that holds its group. */
import { type BootId, ClusterError, type GroupName, type NodeId, nearestName, type ResourceName, type Token } from '../base/index.js'
import {
  depthsOf,
  type GroupRow,
  maintenanceLevel,
  mayStillRun,
  type Notice,
  noticeEnvironment,
  type ResourceDefinition,
  resourceOn,
  type ScalableRow,
} from '../core/cluster/index.js'
import { actionsOf, type LookFound, type MonitorOrder, type MonitorReport } from '../core/monitor/index.js'
import { actionProgram, notifyProgram } from '../io/agents/index.js'
import type { RunFolder } from '../io/run-folder/index.js'
import type { Question } from './messages.js'
import type { QuorateNode } from './node.js'
import type { OcfAgents, Program } from './ocf-agents.js'

export interface ActionAnswer {
  readonly node: NodeId
  readonly outcome: Extract<MonitorReport, { kind: 'called' }>['outcome']
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly elapsedMs: number
  /** Milliseconds that it might have taken. */
  readonly timeout: number
}

/** Under which grant a program acts, and whether the group has a monitor of its own: its end waits for the program there. */
export interface ActsFor {
  readonly group: GroupName
  readonly token: Token
  readonly isDedicated: boolean
}

export interface ResourceVerbsDoors {
  readonly self: NodeId
  readonly boot: BootId
  readonly runFolder: RunFolder
  readonly agents: OcfAgents
  readonly node: () => QuorateNode | undefined
  readonly call: (program: Program, of: ActsFor) => Promise<Extract<MonitorReport, { kind: 'called' }>>
  /** Of the monitor that the group `to` has of its own, else of the shared one. Errors: NO_QUORUM when it does not answer within so many milliseconds. */
  readonly look: (
    order: Omit<Extract<MonitorOrder, { kind: 'look' }>, 'kind' | 'lookId'>,
    timeoutMs: number,
    to: GroupName | undefined,
  ) => Promise<LookFound>
}

/** Beyond the time of the probe itself: for what is being done with the resource just then. */
export const lookGrace = 15_000
/** Unless its agent says otherwise. */
export const actionTimeout = 60_000
export const actionTimeoutMax = 300_000
/** Milliseconds that a copy may take to be told of what is to come, and of what has been: that keeps nobody waiting for long. */
const notifyMax = 15_000
const notifyAfterMax = 120_000
/** The way there and back, and the end of what is killed. */
export const actionGrace = 10_000
/** Of each stream, in characters. */
const outputShown = 32_768

export class ResourceVerbs {
  private readonly doors: ResourceVerbsDoors

  constructor(doors: ResourceVerbsDoors) {
    this.doors = doors
  }

  /** Errors: CONFLICT, MIXED_VERSIONS, NO_QUORUM. */
  async look({ group, resource, deep }: Extract<Question, { kind: 'look' }>): Promise<LookFound & { readonly node: NodeId }> {
    const { definition, isDedicated } = this.held(group, resource)
    const timeout = ((deep ? depthsOf(definition)[0] : undefined) ?? definition.probe).timeout
    return {
      node: this.doors.self,
      ...(await this.doors.look({ group, resource, deep }, timeout + lookGrace, isDedicated ? group : undefined)),
    }
  }

  /** Errors: CONFLICT, MIXED_VERSIONS, ACTION_NOT_FOUND, NO_QUORUM; what the agent's metadata are refused with. */
  async act({ group, resource, action, timeout: wanted }: Extract<Question, { kind: 'act' }>): Promise<ActionAnswer> {
    const { definition, token, isDedicated } = this.held(group, resource)
    const { self: node, boot, runFolder, agents } = this.doors
    const metadata = definition.type.startsWith('ocf:') ? await agents.metadata(definition.type) : undefined
    const known = actionsOf(definition, metadata)
    const found = known.find(({ name }) => name === action)
    const timeout = Math.min(actionTimeoutMax, wanted ?? found?.timeout ?? actionTimeout)
    const program =
      found === undefined ? undefined : actionProgram({ group, resource, token, node, boot, definition }, action, timeout, runFolder)
    if (program === undefined)
      throw noSuchAction(
        action,
        resource,
        definition.type,
        known.map(({ name }) => name),
      )
    this.held(group, resource) // The metadata may have taken a while.
    const { outcome, code, stdout, stderr, elapsedMs } = await this.doors.call(
      { ...program, timeoutMs: timeout },
      { group, token, isDedicated },
    )
    return {
      node,
      outcome,
      code: code ?? null,
      stdout: stdout.slice(-outputShown),
      stderr: stderr.slice(-outputShown),
      elapsedMs: Math.round(elapsedMs),
      timeout,
    }
  }

  /** Tells a copy of what another one is about to do or has done, each resource in turn; what has no way to be told is passed over. */
  async tell({ name: group, holder }: GroupRow, row: ScalableRow, notice: Notice): Promise<void> {
    const { self: node, boot, runFolder, agents } = this.doors
    const state = this.doors.node()?.state
    if (holder === null || state === undefined) return
    const [{ token }, isDedicated] = [holder, holder.pinned.isolation === 'dedicated']
    for (const name of Object.keys(holder.pinned.resources) as ResourceName[]) {
      const definition = resourceOn(holder.pinned.resources[name] as ResourceDefinition, node)
      const known = definition.type.startsWith('ocf:') ? (await agents.metadata(definition.type)).actions : undefined
      const asked = known?.find((action) => action.name === 'notify')
      if (known !== undefined && asked === undefined) continue
      const timeoutMs = Math.min(notice.when === 'post' ? notifyAfterMax : notifyMax, asked?.timeout ?? notifyMax)
      const of = { group, resource: name, token, node, boot, definition }
      const program = notifyProgram(of, noticeEnvironment(state, row, notice, name), timeoutMs, runFolder)
      if (program !== undefined) await this.doors.call({ ...program, timeoutMs }, { group, token, isDedicated })
    }
  }

  /** Only what this boot holds, within its lease, and as it runs. */
  private held(group: GroupName, resource: ResourceName) {
    const { self, boot } = this.doors
    const node = this.doors.node()
    const row = node?.state.get('groups', group)
    const elsewhere = (text: string) => new ClusterError('CONFLICT', text, { fix: `GET /v1/groups/${group} says where it runs` })
    if (node === undefined || row === undefined || !mayStillRun(row) || row.holder.node !== self || row.holder.boot !== boot)
      throw elsewhere(`${self} does not hold ${group}`)
    if (!node.holdsLease()) throw elsewhere(`${self} has no lease now`)
    const definition: ResourceDefinition | undefined = row.holder.pinned.resources[resource]
    if (definition === undefined) throw elsewhere(`what runs of ${group} on ${self} has no resource "${resource}"`)
    if (node.agentReports.levelOfMonitor < maintenanceLevel)
      throw new ClusterError('MIXED_VERSIONS', `the monitor of ${self} is of an earlier version`, {
        fix: `end it there: its guardian starts the present one, and what it keeps runs on`,
      })
    return { definition: resourceOn(definition, self), token: row.holder.token, isDedicated: row.holder.pinned.isolation === 'dedicated' }
  }
}

function noSuchAction(action: string, resource: string, type: string, names: readonly string[]): ClusterError {
  const nearest = nearestName(action, names)
  const all = names.length === 0 ? `${type} has none that people may have run` : `it has ${names.join(', ')}`
  return new ClusterError('ACTION_NOT_FOUND', `resource "${resource}" has no action "${action.slice(0, 80)}"`, {
    fix: nearest === undefined ? all : `did you mean "${nearest}"?`,
  })
}
