/** The OCF agents of this node: what they say of themselves, and of parameters with which they are to run here. */
import { statSync } from 'node:fs'
import { ClusterError, type ErrorCode, type NodeId, type ResourceName } from '../base/index.js'
import type { GroupDefinition, ResourceDefinition } from '../core/cluster/index.js'
import {
  changedParameters,
  checkOcfParameters,
  exitReasonOf,
  isSystemd,
  type MonitorReport,
  type OcfMetadata,
  ocfAgentPath,
  ocfEnvironment,
  ocfMeaning,
  ocfMetadataCall,
  parseOcfMetadata,
} from '../core/monitor/index.js'
import { agentCommands, isOcfInstalled, ocfScratch } from '../io/agents/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export type Called = Extract<MonitorReport, { kind: 'called' }>

export interface Program {
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly input?: string
  readonly workingDirectory?: string
  readonly user?: string
  readonly timeoutMs: number
}

export interface ValidationProblem {
  readonly resource: ResourceName
  readonly code: ErrorCode
  /** Ends with the agent's own words, where it had any. */
  readonly detail: string
  /** What the agent answered; undefined where it was not asked. */
  readonly status?: number
}

/** What one node has to say about a definition. */
export interface Validation {
  readonly problems: readonly ValidationProblem[]
  /** What it could not find out. */
  readonly warnings: readonly string[]
}

const metadataTimeout = 10_000
/** However long the agent would like to have: somebody waits for the answer. */
export const validateTimeout = 10_000
/** The other node's agents one after the other, and the way there and back. */
export const validationMax = 20_000

export class OcfAgents {
  private readonly node: NodeId
  private readonly runFolder: RunFolder
  private readonly call: (program: Program) => Promise<Called>
  private readonly known = new Map<string, { readonly changed: number; readonly metadata: OcfMetadata }>()

  constructor(node: NodeId, runFolder: RunFolder, call: (program: Program) => Promise<Called>) {
    this.node = node
    this.runFolder = runFolder
    this.call = call
  }

  isInstalled(type: string): boolean {
    return isOcfInstalled(type)
  }

  /** Errors: TYPE_NOT_FOUND, UNKNOWN_TYPE, NO_QUORUM when the monitor does not answer. */
  async metadata(type: string): Promise<OcfMetadata> {
    const call = ocfMetadataCall(type)
    const path = ocfAgentPath(type)
    if (call === undefined || path === undefined) throw new ClusterError('TYPE_NOT_FOUND', `"${type}" names no OCF agent`)
    const changed = statSync(path).mtimeMs
    const known = this.known.get(type)
    if (known?.changed === changed) return known.metadata
    const called = await this.call({ ...call, timeoutMs: metadataTimeout })
    const metadata = called.code === 0 ? parseOcfMetadata(called.stdout) : undefined
    if (metadata === undefined) {
      throw new ClusterError('UNKNOWN_TYPE', `${type} is installed on ${this.node} and does not describe itself`, {
        fix: `run ${path} meta-data there and see what it says`,
        facts: { outcome: called.outcome, code: called.code, stderr: called.stderr.slice(-500) },
      })
    }
    this.known.set(type, { changed, metadata })
    return metadata
  }

  /** Asks each agent whether it could run so here (`validate-all`). Errors: NO_QUORUM when the monitor does not answer. */
  async validate(resources: GroupDefinition['resources']): Promise<Validation> {
    const named = Object.entries(resources).filter(([, { type }]) => !isSystemd(type)) as [ResourceName, ResourceDefinition][]
    const answers = await Promise.all(named.map(([name, definition]) => this.validateOne(name, definition)))
    return { problems: answers.flatMap((answer) => answer.problems), warnings: answers.flatMap((answer) => answer.warnings) }
  }

  private async validateOne(resource: ResourceName, definition: ResourceDefinition): Promise<Validation> {
    const { type, parameters } = definition
    const path = ocfAgentPath(type)
    const refused = (code: ErrorCode, detail: string, status?: number): Validation => ({
      problems: [{ resource, code, detail, ...(status === undefined ? {} : { status }) }],
      warnings: [],
    })
    if (path === undefined || !this.isInstalled(type)) return refused('UNKNOWN_TYPE', `${type} is not installed`)
    const metadata = await this.metadata(type)
    const [wrong] = checkOcfParameters(metadata, parameters)
    if (wrong !== undefined) return refused('INVALID_DEFINITION', wrong.detail)
    if (!metadata.actions.some((action) => action.name === 'validate-all')) return { problems: [], warnings: [] }
    const place = { resource, node: this.node, token: 0, scratch: ocfScratch(this.runFolder), commands: agentCommands }
    const environment = {
      ...ocfEnvironment(definition, { name: 'validate-all', timeout: validateTimeout, interval: 0, level: 0 }, place),
      QUORATE_COMMANDS: this.runFolder.socket('commands'),
    }
    const called = await this.call({ argv: [path, 'validate-all'], environment, timeoutMs: validateTimeout })
    if (called.outcome !== 'exited' || called.code === undefined)
      return {
        problems: [],
        warnings: [`resource "${resource}" on ${this.node}: its agent did not say whether it could run (${called.outcome})`],
      }
    // An agent that does not know the action has nothing against it.
    if (called.code === 0 || called.code === 3) return { problems: [], warnings: [] }
    const words = exitReasonOf(called.stderr) ?? lastWords(called.stderr) ?? lastWords(called.stdout)
    const detail = `its agent answered ${called.code} (${ocfMeaning(called.code)})${words === undefined ? '' : `: ${words}`}`
    return refused('VALIDATION_FAILED', detail, called.code)
  }
}

function lastWords(text: string): string | undefined {
  const words = text.trim().slice(-300)
  return words === '' ? undefined : words
}

/** What of a definition has to be asked about again: agents whose parameters are new, and units that are. */
export function toBeValidated(
  after: GroupDefinition['resources'],
  before: GroupDefinition['resources'] | undefined,
): GroupDefinition['resources'] {
  const isNew = ([name, { type, parameters, operations }]: [string, ResourceDefinition]) => {
    const known = before?.[name as ResourceName]
    return (
      (type.startsWith('ocf:') || isSystemd(type)) &&
      (known?.type !== type || known.operations !== operations || changedParameters(known.parameters, parameters).length > 0)
    )
  }
  return Object.fromEntries(Object.entries(after).filter(isNew))
}
