/** Asks the agents of every node of a group whether they could run as they are to, before the definition is committed. */
import { ClusterError, type NodeId } from '../../base/index.js'
import { type AnyDefinition, type GroupDefinition, resourcesOf, resourcesOn } from '../../core/cluster/index.js'
import { type QuorateNode, toBeValidated, type Validation, type ValidationProblem, validationMax } from '../../node/index.js'
import type { QuerySpecification } from '../http/query.js'

export const validateQuery: QuerySpecification = {
  validate: {
    kind: 'flag',
    doc: '`false`: the agents of the nodes are not asked whether they could run so, and what speaks against it is only a warning.',
  },
}

/**
 * Only what is new compared with `before` is asked about. Answers with warnings: who could not be asked, and what is not known.
 * Errors: VALIDATION_FAILED, with what the first agent said that refuses, and all of them in its facts.
 */
export async function validateOnNodes(
  node: QuorateNode,
  after: AnyDefinition,
  before: AnyDefinition | undefined,
  what = 'resource',
): Promise<readonly string[]> {
  const known = (name: NodeId) => (before?.nodes.includes(name) === true ? resourcesOf(before) : undefined)
  const questions = after.nodes.flatMap((name) => {
    const before = known(name)
    const resources = toBeValidated(resourcesOn(asRun(after), name), before && resourcesOn(before, name))
    return Object.keys(resources).length === 0 ? [] : [{ name, resources }]
  })
  const answers = await Promise.allSettled(
    questions.map(({ name, resources }) => node.ask(name, { kind: 'validate', resources }, validationMax) as Promise<Validation>),
  )
  const problems: (ValidationProblem & { readonly node: NodeId })[] = []
  const warnings: string[] = []
  for (const [at, answer] of answers.entries()) {
    const name = questions[at]?.name as NodeId
    if (answer.status === 'rejected') {
      const why = answer.reason instanceof Error ? answer.reason.message : String(answer.reason)
      warnings.push(`${name} could not be asked whether the agents could run there: ${why}`)
      continue
    }
    problems.push(...answer.value.problems.map((problem) => ({ node: name, ...problem })))
    warnings.push(...answer.value.warnings)
  }
  const [first] = problems
  if (first === undefined) return warnings
  throw new ClusterError('VALIDATION_FAILED', `${what} "${first.resource}" on ${first.node}: ${first.detail}`, {
    fix: `mend it on ${first.node}, take that node out of "nodes", or add ?validate=false to have it committed all the same`,
    facts: { problems, warnings },
  })
}

/** Agents look at whether they are run as one of several copies. */
function asRun(definition: AnyDefinition): GroupDefinition['resources'] {
  if (definition.mode === 'failover') return definition.resources
  const copies = Object.entries(definition.resources).map(([name, resource]) => [name, { ...resource, copy: { max: definition.desired } }])
  return { ...Object.fromEntries(copies), ...definition.primary?.resources }
}
