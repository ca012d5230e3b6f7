/** The fence agents installed on this node: what they say of their parameters. */
import { statSync } from 'node:fs'
import { ClusterError } from '../base/index.js'
import type { FenceDevice } from '../core/cluster/index.js'
import { checkOcfParameters, type OcfMetadata, ocfParameterWarnings, parseOcfMetadata } from '../core/monitor/index.js'
import { fenceProgram } from './fence-calls.js'
import type { Called, Program } from './ocf-agents.js'

const metadataTimeout = 10_000

export class FenceAgents {
  private readonly call: (program: Program) => Promise<Called>
  private readonly known = new Map<string, { readonly changed: number; readonly metadata: OcfMetadata | undefined }>()

  constructor(call: (program: Program) => Promise<Called>) {
    this.call = call
  }

  /** As `fence-agents` describe themselves; undefined where an agent does not. Errors: NO_QUORUM when the monitor does not answer. */
  async metadata(agent: string): Promise<OcfMetadata | undefined> {
    const { argv, environment } = fenceProgram(agent)
    const changed = statSync(argv[0] ?? '', { throwIfNoEntry: false })?.mtimeMs ?? 0
    const known = this.known.get(agent)
    if (known?.changed === changed) return known.metadata
    const called = await this.call({ argv, environment, input: 'action=metadata\n', timeoutMs: metadataTimeout })
    if (called.code === undefined) return undefined
    const metadata = called.code === 0 ? parseOcfMetadata(called.stdout) : undefined
    this.known.set(agent, { changed, metadata })
    return metadata
  }

  /** What should be changed although it is accepted. Errors: INVALID_DEFINITION, NO_QUORUM. */
  async check({ agent, parameters }: FenceDevice): Promise<readonly string[]> {
    // A program of somebody's own might take a word that it does not know for any order.
    const metadata = agent.includes('/') ? undefined : await this.metadata(agent)
    if (metadata === undefined) return [`${agent} does not describe its parameters: they are not checked`]
    // Which action it is, is no parameter of the device.
    const described = { ...metadata, parameters: metadata.parameters.filter(({ name }) => name !== 'action') }
    const [wrong] = checkOcfParameters(described, parameters)
    if (wrong !== undefined)
      throw new ClusterError('INVALID_DEFINITION', wrong.detail, { fix: wrong.fix ?? `see: echo action=metadata | ${agent}` })
    return ocfParameterWarnings(described, parameters)
  }
}
