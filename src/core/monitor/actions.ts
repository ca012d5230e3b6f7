/** Actions that people may have run: those that an agent names beside the ones that the cluster calls, and those of a `command`. */
import type { ResourceDefinition } from '../cluster/index.js'
import type { OcfMetadata } from './ocf-metadata.js'

/** What the cluster calls itself, or what would go past it. */
const reserved: ReadonlySet<string> = new Set([
  'start',
  'stop',
  'monitor',
  'status',
  'recover',
  'restart',
  'meta-data',
  'metadata',
  'validate-all',
  'promote',
  'demote',
  'notify',
  'reload',
  'reload-agent',
  'migrate_to',
  'migrate_from',
])

export interface ResourceAction {
  readonly name: string
  /** Milliseconds, where its agent says so. */
  readonly timeout?: number
}

/** By name. `metadata` is that of the agent, where it has one. */
export function actionsOf(
  { type, parameters }: Pick<ResourceDefinition, 'type' | 'parameters'>,
  metadata: Pick<OcfMetadata, 'actions'> | undefined,
): readonly ResourceAction[] {
  const own = type === 'command' && typeof parameters.actions === 'object' && !Array.isArray(parameters.actions) ? parameters.actions : {}
  const found = new Map<string, ResourceAction>(Object.keys(own).map((name) => [name, { name }]))
  for (const { name, timeout } of metadata?.actions ?? [])
    if (!reserved.has(name) && !found.has(name)) found.set(name, timeout === undefined ? { name } : { name, timeout })
  return [...found.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}
