/** A whole configuration as one document: made from the state, and compared with it. */
import { ClusterError, diskName, type GroupName, groupName, type LogIndex, type NodeId, nearestName } from '../../base/index.js'
import {
  type ClusterState,
  type Command,
  canonical,
  configRevision,
  disksOf,
  type GroupRow,
  groupsOf,
  nodesOf,
  type Reader,
  type ScalableRow,
} from '../../core/cluster/index.js'
import { chosenSettings } from '../present/settings.js'
import type { Access } from './access.js'
import { newOperationId } from './changing.js'
import { readDefinition, writtenForm } from './definition.js'
import { readDisk, type WrittenDisk, writtenDisk } from './disks.js'
import { type PlannedStep, planHash, tryOut } from './dry-run.js'
import { readFencing, writtenFencing } from './fencing.js'
import { livenessOf, type View } from './reading.js'
import type { ResourceTypes } from './resource-types.js'
import { validateOnNodes } from './validation.js'

type Document = {
  readonly settings?: Readonly<Record<string, unknown>>
  readonly nodes?: Readonly<Record<string, { readonly fencing?: unknown; readonly attributes?: Readonly<Record<string, string>> }>>
  readonly disks?: Readonly<Record<string, WrittenDisk>>
  readonly groups?: Readonly<Record<string, unknown>>
  readonly prune?: boolean
}

export interface Change {
  readonly what: 'settings' | 'node' | 'disk' | 'group'
  readonly name: string
  readonly change: 'create' | 'change' | 'delete'
}

export interface Plan {
  readonly revision: LogIndex
  readonly planHash: string
  readonly commands: readonly Command[]
  readonly changes: readonly Change[]
  readonly operations: readonly string[]
  readonly events: readonly string[]
  readonly steps: readonly PlannedStep[]
  /** What is accepted and should be looked at. */
  readonly warnings: readonly string[]
}

export function configurationOf(state: Reader): Record<string, unknown> {
  return {
    settings: chosenSettings(state),
    nodes: Object.fromEntries(
      nodesOf(state).map((row) => [row.name, { fencing: writtenFencing(row.fencing), attributes: row.attributes }]),
    ),
    disks: Object.fromEntries(disksOf(state).map(({ name, definition }) => [name, writtenDisk(definition)])),
    groups: Object.fromEntries(
      definedIn(state)
        .filter((group) => !group.deleting)
        .map((group) => [group.name, { ...writtenForm(group.definition), intent: group.intent }]),
    ),
  }
}

/** Groups and scalable groups, by name; not their parts. */
function definedIn(state: Reader): readonly (GroupRow | ScalableRow)[] {
  const scalables = [...state.rows('scalables')].map(([, row]) => row)
  return [...groupsOf(state).filter(({ part }) => part === undefined), ...scalables].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Errors: as each part's own request would be refused. */
export async function planConfiguration(view: View, document: Document, access: Access, lenient: boolean): Promise<Plan> {
  // Definitions are looked at outside (agents' metadata); everything else is compared with one state.
  const state = view.state.snapshot()
  const parts = [
    settingsPart(state, document),
    disksPart(state, document, access),
    await nodesPart(state, document, access, lenient),
    await groupsPart(view, state, document, access.types, lenient),
    prunePart(state, document),
  ]
  const commands = parts.flatMap((part) => part.commands)
  const changes = parts.flatMap((part) => part.changes)
  const revision = configRevision(state)
  const tried =
    commands.length === 0
      ? undefined
      : tryOut(state, { kind: 'transaction', commands, ifRevision: revision }, livenessOf(view.leaderView), view.at)
  const steps = tried?.steps ?? []
  return {
    revision,
    planHash: planHash(commands, steps),
    commands,
    changes,
    operations: commands.flatMap((command) => (command.kind === 'delete-group' ? [command.operation] : [])),
    events: tried?.events ?? [],
    steps,
    warnings: parts.flatMap((part) => part.warnings ?? []),
  }
}

interface Part {
  readonly commands: readonly Command[]
  readonly changes: readonly Change[]
  readonly warnings?: readonly string[]
}
const nothing: Part = { commands: [], changes: [] }

function settingsPart(state: ClusterState, document: Document): Part {
  if (document.settings === undefined) return nothing
  const known = chosenSettings(state)
  const patch: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(document.settings)) if (canonical(known[key] ?? null) !== canonical(value)) patch[key] = value
  const unlisted = document.prune === true ? Object.keys(known).filter((key) => !Object.hasOwn(document.settings ?? {}, key)) : []
  for (const key of unlisted) patch[key] = key === 'profile' ? 'normal' : null
  if (Object.keys(patch).length === 0) return nothing
  return {
    commands: [{ kind: 'patch-settings', patch }],
    changes: [{ what: 'settings', name: Object.keys(patch).sort().join(', '), change: 'change' }],
  }
}

async function nodesPart(state: ClusterState, document: Document, access: Access, lenient: boolean): Promise<Part> {
  const commands: Command[] = []
  const warnings: string[] = []
  const changes: Change[] = []
  for (const [name, written] of Object.entries(document.nodes ?? {})) {
    const row = state.get('nodes', name)
    if (row === undefined) throw unknownNode(state, name)
    const fencing = written.fencing === undefined ? row.fencing : readFencing(written.fencing, row.fencing, access.fencing(state))
    if (!lenient) warnings.push(...(await access.checkFencing(fencing, row.fencing)))
    const attributes = written.attributes ?? row.attributes
    if (canonical([fencing, attributes]) === canonical([row.fencing, row.attributes])) continue
    const changed = canonical(fencing) === canonical(row.fencing) ? { attributes } : { fencing, attributes }
    commands.push({ kind: 'patch-node', node: name as NodeId, ...changed, precondition: {} })
    changes.push({ what: 'node', name, change: 'change' })
  }
  return { commands, changes, warnings }
}

function disksPart(state: ClusterState, document: Document, access: Access): Part {
  const commands: Command[] = []
  const changes: Change[] = []
  for (const [name, written] of Object.entries(document.disks ?? {})) {
    const disk = diskName(name)
    const row = state.get('disks', disk)
    const definition = readDisk(written, row?.definition, access.sealing(state))
    if (row !== undefined && canonical(definition) === canonical(row.definition)) continue
    commands.push({ kind: 'put-disk', disk, definition, precondition: {} })
    changes.push({ what: 'disk', name, change: row === undefined ? 'create' : 'change' })
  }
  return { commands, changes }
}

function unknownNode(state: ClusterState, name: string): ClusterError {
  const names = nodesOf(state).map((node) => node.name)
  const nearest = nearestName(name, names)
  return new ClusterError('UNKNOWN_NODE', `the cluster has no node "${name.slice(0, 80)}"`, {
    fix: nearest === undefined ? `its nodes are ${names.join(', ')}` : `did you mean "${nearest}"?`,
  })
}

async function groupsPart(view: View, state: ClusterState, document: Document, types: ResourceTypes, lenient: boolean): Promise<Part> {
  const commands: Command[] = []
  const changes: Change[] = []
  const warnings: string[] = []
  const nodes = nodesOf(state).map((node) => node.name)
  for (const [name, written] of Object.entries(document.groups ?? {})) {
    const group = groupName(name)
    const what = `groups.${name}`
    const { definition, intent, ...read } = await readDefinition(written, nodes, types, { group, lenient, what })
    warnings.push(...read.warnings.map((text) => `${what}: ${text}`))
    const row = state.get('scalables', group) ?? state.get('groups', group)
    if (row !== undefined && !row.deleting && (intent ?? row.intent) === row.intent && canonical(definition) === canonical(row.definition))
      continue
    if (!lenient) warnings.push(...(await validateOnNodes(view.node, definition, row?.definition, `${what}: resource`)))
    commands.push({ kind: 'put-group', group, definition, intent, precondition: {} })
    changes.push({ what: 'group', name, change: row === undefined ? 'create' : 'change' })
  }
  return { commands, changes, warnings }
}

function prunePart(state: ClusterState, document: Document): Part {
  if (document.prune !== true || document.groups === undefined) return nothing
  const gone = definedIn(state).filter((group) => !group.deleting && !Object.hasOwn(document.groups ?? {}, group.name))
  return {
    commands: gone.map((group) => ({
      kind: 'delete-group',
      group: group.name as GroupName,
      operation: newOperationId(),
      precondition: {},
    })),
    changes: gone.map((group) => ({ what: 'group', name: group.name, change: 'delete' })),
  }
}
