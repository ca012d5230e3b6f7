/** Resource types on this node: the built-in ones, the OCF agents installed here with what their metadata says, and units of systemd. */
import { ClusterError, nearestName } from '../../base/index.js'
import {
  type AnyDefinition,
  type GroupRow,
  groupsOf,
  type ResourceDefinition,
  resourceOn,
  resourcesOf,
  variantsOf,
} from '../../core/cluster/index.js'
import {
  builtInTypes,
  checkDepthAndLimits,
  checkOcfActions,
  checkOcfParameters,
  checkResourceParameters,
  clashingParameters,
  commandWarnings,
  isSystemd,
  ocfParameterWarnings,
  type ParameterProblem,
} from '../../core/monitor/index.js'
import { installedOcfTypes } from '../../io/agents/index.js'
import type { Daemon } from '../../node/index.js'

type Named = readonly [name: string, resource: ResourceDefinition]

export class ResourceTypes {
  private readonly daemon: Daemon

  constructor(daemon: Daemon) {
    this.daemon = daemon
  }

  list(): readonly string[] {
    return [...Object.keys(builtInTypes), ...installedOcfTypes(), ...this.daemon.units.types()]
  }

  /** Its parameters and what they mean. Errors: TYPE_NOT_FOUND, NO_QUORUM when the monitor does not answer. */
  async describe(type: string): Promise<Record<string, unknown>> {
    const builtIn = Object.hasOwn(builtInTypes, type) ? builtInTypes[type] : undefined
    if (builtIn !== undefined) {
      const parameters = Object.entries(builtIn.parameters).map(([name, { required, doc }]) => ({ name, required: required === true, doc }))
      return { name: type, builtIn: true, doc: builtIn.doc, parameters }
    }
    if (isSystemd(type)) return this.daemon.units.describe(type)
    if (!this.daemon.agents.isInstalled(type)) {
      const nearest = nearestName(type, this.list())
      throw new ClusterError('TYPE_NOT_FOUND', `there is no resource type "${type.slice(0, 100)}" on ${this.daemon.config.node}`, {
        fix: nearest === undefined ? 'GET /v1/types lists them' : `did you mean "${nearest}"?`,
      })
    }
    const { longdesc, shortdesc, version, parameters, actions, reloadAction } = await this.daemon.agents.metadata(type)
    const reload = reloadAction === undefined ? {} : { reloadAction }
    return { name: type, builtIn: false, doc: shortdesc, longDoc: longdesc, version, parameters, actions, ...reload }
  }

  /**
   * The first problem of any resource is thrown; what is only unwise is answered in sentences. With `lenient`, that an agent is
   * not here is unwise only. Errors: UNKNOWN_TYPE, INVALID_DEFINITION.
   */
  async check(group: string, definition: AnyDefinition, lenient: boolean): Promise<readonly string[]> {
    const warnings: string[] = []
    const named = Object.entries(resourcesOf(definition))
    for (const [name, resource] of named)
      for (const variant of variantsFor(resource, definition))
        warnings.push(...(await this.checkResource([name, variant], definition, lenient)))
    for (const [at, one] of named.entries())
      for (const other of named.slice(at + 1)) {
        const clashes = await Promise.all(pairsOf(one, other, definition).map((pair) => this.clashOf(...pair)))
        const clash = [...new Set(clashes.flat())]
        if (clash.length === 0) continue
        throw new ClusterError('INVALID_DEFINITION', `resources "${one[0]}" and "${other[0]}" have the same ${clash.join(' and ')}`, {
          fix: `the agent ${one[1].type} wants it different for each: change it in one of them`,
        })
      }
    return [...warnings, ...(await this.clashesElsewhere(group, named))]
  }

  private async checkResource([name, resource]: Named, definition: AnyDefinition, lenient: boolean): Promise<readonly string[]> {
    const { type, parameters, operations } = resource
    const problems = checkResourceParameters(type, parameters, operations)
    const warnings: string[] = []
    const { node } = this.daemon.config
    if (problems.length === 0 && type.startsWith('ocf:')) {
      if (this.daemon.agents.isInstalled(type)) {
        const metadata = await this.daemon.agents.metadata(type)
        problems.push(...checkOcfParameters(metadata, parameters))
        if (resource.promotable === true) problems.push(...checkOcfActions(type, metadata, 'promotable'))
        if (definition.mode === 'scalable' && definition.migrate === true) problems.push(...checkOcfActions(type, metadata, 'migrate'))
        warnings.push(...ocfParameterWarnings(metadata, parameters).map((text) => `resource "${name}": ${text}`))
      } else if (!lenient && definition.nodes.includes(node)) problems.push(this.notInstalled(type))
      else if (lenient) warnings.push(`resource "${name}": ${type} is not installed on ${node}, so its parameters were not checked`)
    }
    warnings.push(...commandWarnings(resource).map((text) => `resource "${name}": ${text}`))
    if (problems.length === 0) problems.push(...checkDepthAndLimits(resource))
    const [first] = problems
    if (first === undefined) return warnings
    throw new ClusterError(first.parameter === 'type' ? 'UNKNOWN_TYPE' : 'INVALID_DEFINITION', `resource "${name}": ${first.detail}`, {
      fix: first.fix ?? `GET /v1/types/${type} describes its parameters`,
      facts: { problems: problems.map((problem) => ({ resource: name, ...problem })) },
    })
  }

  /** Groups may well share a node: what no two resources of an agent may have the same, they should not. */
  private async clashesElsewhere(group: string, named: readonly Named[]): Promise<readonly string[]> {
    const { node } = this.daemon
    if (node === undefined) return []
    const types = new Set(named.map(([, { type }]) => type).filter((type) => type.startsWith('ocf:')))
    if (types.size === 0) return []
    const others: readonly (readonly [GroupRow, Named])[] = groupsOf(node.state)
      .filter((row) => row.name !== group && row.part?.of !== group && !row.deleting)
      .flatMap((row) => Object.entries(row.definition.resources).map((other) => [row, other] as const))
      .filter(([, [, { type }]]) => types.has(type))
    const warnings: string[] = []
    for (const one of named)
      for (const [row, other] of others) {
        const clash = await this.clashOf(one, other)
        if (clash.length > 0)
          warnings.push(`resource "${one[0]}" has the same ${clash.join(' and ')} as ${row.name}/${other[0]}: the agent wants it different`)
      }
    return warnings
  }

  private async clashOf([, one]: Named, [, other]: Named): Promise<readonly string[]> {
    if (one.type !== other.type || !one.type.startsWith('ocf:') || !this.daemon.agents.isInstalled(one.type)) return []
    return clashingParameters(await this.daemon.agents.metadata(one.type), one.parameters, other.parameters)
  }

  private notInstalled(type: string): ParameterProblem {
    const nearest = nearestName(type, installedOcfTypes())
    const fix =
      nearest === undefined ? 'install it on every node of the group; GET /v1/types lists what is here' : `did you mean "${nearest}"?`
    return { parameter: 'type', detail: `${type} is not installed on ${this.daemon.config.node}`, fix }
  }
}

/** What a node is not given of its own it has as usual; so a parameter may be missing there that every node has. */
function variantsFor(resource: ResourceDefinition, { nodes }: AnyDefinition): readonly ResourceDefinition[] {
  if (resource.perNode === undefined) return [resource]
  const isCovered = nodes.every((node) => resource.perNode?.[node] !== undefined)
  return isCovered ? variantsOf(resource).slice(1) : variantsOf(resource)
}

/** Both as they are on the same node, for each that has parameters of its own. */
function pairsOf([oneName, one]: Named, [otherName, other]: Named, { nodes }: AnyDefinition): readonly [Named, Named][] {
  if (one.perNode === undefined && other.perNode === undefined)
    return [
      [
        [oneName, one],
        [otherName, other],
      ],
    ]
  return nodes.map((node) => [
    [oneName, resourceOn(one, node)],
    [otherName, resourceOn(other, node)],
  ])
}
