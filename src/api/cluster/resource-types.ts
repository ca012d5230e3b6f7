/** Resource types on this node: the built-in ones, and the OCF agents installed here with what their metadata says. */
import { existsSync, statSync } from 'node:fs'
import { ClusterError, nearestName } from '../../base/index.js'
import type { GroupDefinition, ResourceDefinition } from '../../core/cluster/index.js'
import {
  builtInTypes,
  checkDepthAndLimits,
  checkOcfParameters,
  checkResourceParameters,
  type OcfMetadata,
  ocfAgentPath,
  ocfMetadataCall,
  type ParameterProblem,
  parseOcfMetadata,
} from '../../core/monitor/index.js'
import { installedOcfTypes } from '../../io/agents/index.js'
import type { Daemon } from '../../node/index.js'

const metadataTimeout = 10_000

export class ResourceTypes {
  private readonly daemon: Daemon
  private readonly known = new Map<string, { readonly changed: number; readonly metadata: OcfMetadata }>()

  constructor(daemon: Daemon) {
    this.daemon = daemon
  }

  list(): readonly string[] {
    return [...Object.keys(builtInTypes), ...installedOcfTypes()]
  }

  /** Its parameters and what they mean. Errors: TYPE_NOT_FOUND, NO_QUORUM when the monitor does not answer. */
  async describe(type: string): Promise<Record<string, unknown>> {
    const builtIn = Object.hasOwn(builtInTypes, type) ? builtInTypes[type] : undefined
    if (builtIn !== undefined) {
      const parameters = Object.entries(builtIn.parameters).map(([name, { required, doc }]) => ({ name, required: required === true, doc }))
      return { name: type, builtIn: true, doc: builtIn.doc, parameters }
    }
    if (!this.isInstalled(type)) {
      const nearest = nearestName(type, this.list())
      throw new ClusterError('TYPE_NOT_FOUND', `there is no resource type "${type.slice(0, 100)}" on ${this.daemon.config.node}`, {
        fix: nearest === undefined ? 'GET /v1/types lists them' : `did you mean "${nearest}"?`,
      })
    }
    const { longdesc, shortdesc, version, parameters, actions } = await this.metadata(type)
    return { name: type, builtIn: false, doc: shortdesc, longDoc: longdesc, version, parameters, actions }
  }

  /** The first problem of any resource is thrown. Errors: UNKNOWN_TYPE, INVALID_DEFINITION, NOT_YET. */
  async check(definition: GroupDefinition): Promise<void> {
    for (const [name, resource] of Object.entries(definition.resources)) await this.checkResource(name, resource)
  }

  private async checkResource(name: string, resource: ResourceDefinition): Promise<void> {
    const { type, parameters } = resource
    if (type.startsWith('systemd:'))
      throw new ClusterError('NOT_YET', `resource "${name}": systemd units come with a later version`, {
        fix: 'use an OCF agent, or type command with start, stop and probe',
      })
    const problems = checkResourceParameters(type, parameters)
    if (problems.length === 0 && type.startsWith('ocf:')) {
      if (!this.isInstalled(type)) problems.push(this.notInstalled(type))
      else problems.push(...checkOcfParameters(await this.metadata(type), parameters))
    }
    if (problems.length === 0) problems.push(...checkDepthAndLimits(resource))
    const [first] = problems
    if (first === undefined) return
    throw new ClusterError(first.parameter === 'type' ? 'UNKNOWN_TYPE' : 'INVALID_DEFINITION', `resource "${name}": ${first.detail}`, {
      fix: first.fix ?? `GET /v1/types/${type} describes its parameters`,
      facts: { problems: problems.map((problem) => ({ resource: name, ...problem })) },
    })
  }

  private isInstalled(type: string): boolean {
    const path = ocfAgentPath(type)
    return path !== undefined && existsSync(path)
  }

  private notInstalled(type: string): ParameterProblem {
    const nearest = nearestName(type, installedOcfTypes())
    const fix =
      nearest === undefined ? 'install it on every node of the group; GET /v1/types lists what is here' : `did you mean "${nearest}"?`
    return { parameter: 'type', detail: `${type} is not installed on ${this.daemon.config.node}`, fix }
  }

  private async metadata(type: string): Promise<OcfMetadata> {
    const call = ocfMetadataCall(type)
    const path = ocfAgentPath(type)
    if (call === undefined || path === undefined) throw new ClusterError('TYPE_NOT_FOUND', `"${type}" names no OCF agent`)
    const changed = statSync(path).mtimeMs
    const known = this.known.get(type)
    if (known?.changed === changed) return known.metadata
    const called = await this.daemon.call({ ...call, timeoutMs: metadataTimeout })
    const metadata = called.code === 0 ? parseOcfMetadata(called.stdout) : undefined
    if (metadata === undefined) {
      throw new ClusterError('UNKNOWN_TYPE', `${type} is installed on ${this.daemon.config.node} and does not describe itself`, {
        fix: `run ${path} meta-data there and see what it says`,
        facts: { outcome: called.outcome, code: called.code, stderr: called.stderr.slice(-500) },
      })
    }
    this.known.set(type, { changed, metadata })
    return metadata
  }
}
