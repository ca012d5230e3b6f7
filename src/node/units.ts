/** The services of systemd on this node: which there are, and whether they may be resources here. */
import { ClusterError, type NodeId, nearestName, type ResourceName } from '../base/index.js'
import type { GroupDefinition, ResourceDefinition } from '../core/cluster/index.js'
import { isSystemd, type UnitFacts, unitObstacle, unitOf } from '../core/monitor/index.js'
import { safePath } from '../io/agents/index.js'
import { installedServices, isSystemdHere, openSystemd, type Systemd } from '../io/systemd/index.js'
import type { Called, Program, Validation } from './ocf-agents.js'

/** Somebody waits for the answer. */
const askMax = 5_000
/** So does the node that asks for the log of another, for two seconds. */
const journalMax = 1_500

export class Units {
  private readonly node: NodeId
  private readonly call: (program: Program) => Promise<Called>
  private readonly systemd: Systemd = openSystemd()

  constructor(node: NodeId, call: (program: Program) => Promise<Called>) {
    this.node = node
    this.call = call
  }

  /** Types of what is installed, such as `systemd:nginx.service`. */
  types(): readonly string[] {
    return installedServices().map((unit) => `systemd:${unit}`)
  }

  /** What systemd knows of it, and what stands against it as a resource. Errors: TYPE_NOT_FOUND. */
  async describe(type: string): Promise<Record<string, unknown>> {
    const unit = unitOf(type)
    const facts = unit === undefined || !isSystemdHere() ? undefined : await this.facts(unit)
    if (facts === undefined || (typeof facts !== 'string' && facts.load === 'not-found')) {
      // An ending that was left out is no difference.
      const known = this.types().map((one) => one.replace(/\.service$/, ''))
      const nearest = nearestName(type.replace(/\.service$/, ''), known)
      throw new ClusterError('TYPE_NOT_FOUND', `there is no unit for "${type.slice(0, 100)}" on ${this.node}`, {
        fix: nearest === undefined ? 'GET /v1/types lists them' : `did you mean "${nearest}"?`,
      })
    }
    const about = { name: `systemd:${unit}`, builtIn: false, parameters: [] }
    if (typeof facts === 'string') return { ...about, doc: '', unit: null, obstacle: { detail: facts, fix: 'ask again' } }
    const { description, file, dropIns, fileState, type: startType, restart } = facts
    return {
      ...about,
      doc: description,
      unit: { file, dropIns, fileState, type: startType, restart },
      obstacle: unitObstacle(facts) ?? null,
    }
  }

  /** What the journal has of a unit's latest, oldest first, systemd's own words about it among them; undefined where it cannot be read here. */
  async journal(type: string, lines: number): Promise<readonly string[] | undefined> {
    const unit = unitOf(type)
    if (unit === undefined || !isSystemdHere()) return undefined
    const argv = [
      'journalctl',
      `--unit=${unit}`,
      `--lines=${lines}`,
      '--reverse',
      '--output=short-iso',
      '--no-hostname',
      '--no-pager',
      '--quiet',
    ]
    const called = await this.call({ argv, environment: { PATH: safePath, LC_ALL: 'C.UTF-8' }, timeoutMs: journalMax })
    if (called.code !== 0) return undefined
    // Of more than an answer holds, the oldest are cut off; what follows the last end of a line is a part of one, or nothing. An entry
    // of several lines keeps their order: all but its first are indented.
    const entries: string[][] = []
    for (const line of called.stdout.split('\n').slice(0, -1)) {
      if (/^\s/.test(line)) entries.at(-1)?.push(line)
      else entries.push([line])
    }
    return entries.reverse().flat()
  }

  /** Of those resources that are units. */
  async validate(resources: GroupDefinition['resources']): Promise<Validation> {
    const named = (Object.entries(resources) as [ResourceName, ResourceDefinition][]).filter(([, { type }]) => isSystemd(type))
    const answers = await Promise.all(named.map(([name, { type, operations }]) => this.validateOne(name, type, operations === 'none')))
    return { problems: answers.flatMap((answer) => answer.problems), warnings: answers.flatMap((answer) => answer.warnings) }
  }

  close(): void {
    this.systemd.close()
  }

  /** What is only looked at may be started by whoever it likes. */
  private async validateOne(resource: ResourceName, type: string, isOnlyProbed: boolean): Promise<Validation> {
    const unit = unitOf(type)
    if (unit === undefined) return { problems: [{ resource, code: 'UNKNOWN_TYPE', detail: `"${type}" names no unit` }], warnings: [] }
    if (!isSystemdHere())
      return { problems: [{ resource, code: 'UNKNOWN_TYPE', detail: `systemd does not run there, so there is no ${unit}` }], warnings: [] }
    const facts = await this.facts(unit)
    if (typeof facts === 'string') return { problems: [], warnings: [`resource "${resource}" on ${this.node}: ${facts}`] }
    const obstacle = unitObstacle(facts)
    if (obstacle === undefined || (isOnlyProbed && facts.load !== 'not-found')) return { problems: [], warnings: [] }
    const code = facts.load === 'not-found' ? ('UNKNOWN_TYPE' as const) : ('VALIDATION_FAILED' as const)
    return { problems: [{ resource, code, detail: `${obstacle.detail}; ${obstacle.fix}` }], warnings: [] }
  }

  /** Or why they are not known. */
  private async facts(unit: string): Promise<UnitFacts | string> {
    try {
      return await this.systemd.facts(unit, askMax)
    } catch (error) {
      return `systemd does not answer: ${(error as Error).message}`
    }
  }
}
