/** The whole configuration: read, planned, applied all or nothing. */
import { ClusterError } from '../../base/index.js'
import { configRevision } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { change, changeQuery } from '../cluster/changing.js'
import { configurationOf, type Plan, planConfiguration } from '../cluster/configuration.js'
import { preconditionOf } from '../cluster/preconditions.js'
import { read, readQuery } from '../cluster/reading.js'
import { validateQuery } from '../cluster/validation.js'
import type { Answer, Call, Route } from '../http/route.js'
import { writeYaml } from '../http/yaml.js'
import { configurationSchema } from '../schemas/index.js'

/** A configuration that changes while it is being planned is planned again. */
const triesMax = 3

export function configurationRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/config',
      tag: 'configuration',
      summary: 'Settings, nodes, shared disks and groups as one document, which POST /v1/apply takes.',
      query: {
        ...readQuery,
        format: { kind: 'choice', values: ['json', 'yaml'], doc: 'json unless given.' },
        at: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER, doc: 'An earlier revision: comes with a later version.' },
      },
      answers: { 200: 'The document. Its revision is the ETag.' },
      handle: async (call) => {
        if (call.query.number('at') !== undefined)
          throw new ClusterError('NOT_YET', 'earlier configurations come with a later version', { fix: 'leave out at' })
        const { state, age } = await read(access, call)
        const document = configurationOf(state)
        const revision = configRevision(state)
        if (call.query.text('format') !== 'yaml') return { revision, body: { ...age, ...document } }
        return { revision, text: { type: 'application/yaml; charset=utf-8', value: await writeYaml(document) } }
      },
    },
    {
      method: 'POST',
      path: '/v1/plan',
      tag: 'configuration',
      summary: 'What applying the document would change and lead to. Changes nothing.',
      query: { ...readQuery, ...validateQuery },
      body: configurationSchema,
      answers: { 200: 'Changes, the planner’s steps, and a planHash for POST /v1/apply.' },
      handle: async (call) => ({ body: present(await plan(access, call)) }),
    },
    {
      method: 'POST',
      path: '/v1/apply',
      tag: 'configuration',
      summary: 'Applies the document, all or nothing.',
      query: { ...changeQuery, ...validateQuery },
      body: configurationSchema,
      answers: { 200: 'What was changed.' },
      handle: (call) => apply(access, call),
    },
  ]
}

async function plan(access: Access, call: Call): Promise<Plan> {
  const view = await read(access, call, { withLeaderView: true })
  return planConfiguration(view, call.body as never, access, call.query.flag('validate') === false)
}

async function apply(access: Access, call: Call): Promise<Answer> {
  const { planHash, ifRevision: written } = call.body as { readonly planHash?: string; readonly ifRevision?: number }
  const wanted = preconditionOf(call).ifRevision ?? written
  for (let attempt = 1; ; attempt++) {
    const planned = await plan(access, call)
    if (wanted !== undefined && wanted !== planned.revision)
      throw new ClusterError('REVISION_MISMATCH', `the configuration is at revision ${planned.revision}, the request expects ${wanted}`, {
        fix: 'read it again, or plan again on what there is now',
        facts: { revision: planned.revision, expected: wanted },
      })
    if (planHash !== undefined && planHash !== planned.planHash)
      throw new ClusterError('REVISION_MISMATCH', 'the document would no longer lead to what was planned', {
        fix: 'POST /v1/plan again and look at what is different',
        facts: { planHash: planned.planHash, expected: planHash },
      })
    if (call.query.flag('dryRun') === true) return { body: { dryRun: true, ...present(planned) } }
    if (planned.commands.length === 0) return { revision: planned.revision, body: { ...present(planned), unchanged: true } }
    try {
      await change(access, call, { kind: 'transaction', commands: planned.commands, ifRevision: planned.revision })
      const revision = configRevision(access.node.state)
      return {
        revision,
        body: { applied: true, changes: planned.changes, operations: planned.operations, revision, ...warningsOf(planned) },
      }
    } catch (error) {
      const moved = error instanceof ClusterError && error.code === 'REVISION_MISMATCH' && wanted === undefined && planHash === undefined
      // Under an Idempotency-Key the refusal itself is what a retry gets.
      if (!moved || attempt >= triesMax || call.headers['idempotency-key'] !== undefined) throw error
    }
  }
}

function present({ revision, planHash, changes, steps, events, warnings }: Plan): Record<string, unknown> {
  return { revision, planHash, changes, events, plan: steps, ...warningsOf({ warnings }) }
}

function warningsOf({ warnings }: Pick<Plan, 'warnings'>) {
  return warnings.length === 0 ? {} : { warnings }
}
