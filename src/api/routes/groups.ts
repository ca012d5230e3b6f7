/** Groups: their definitions and states. */
import { ClusterError, type GroupName, groupName, nearestName } from '../../base/index.js'
import { type AnyDefinition, type GroupRow, groupsOf, nodesOf, partRows, type Reader, type ScalableRow } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery, operate, operationQuery } from '../cluster/changing.js'
import { readDefinition, writtenForm } from '../cluster/definition.js'
import { preconditionOf } from '../cluster/preconditions.js'
import { blockingQuery, localView, read, type View } from '../cluster/reading.js'
import { validateOnNodes, validateQuery } from '../cluster/validation.js'
import { waitMax } from '../cluster/waits.js'
import { mergePatch } from '../http/merge-patch.js'
import type { Answer, Call, Route } from '../http/route.js'
import { checkValue } from '../http/validation.js'
import { presentGroupWhole } from '../present/group.js'
import { presentGroups, presentScalable, presentScalableWhole, scalablesOf } from '../present/scalable.js'
import { groupDocumentSchema, groupPatchSchema, groupPutSchema, groupStates } from '../schemas/index.js'
import { operationAnswers } from './node-verbs.js'

const around = ['boots', 'cases'] as const

/** Errors: GROUP_NOT_FOUND. */
export function groupOf(state: Reader, name: string): GroupRow {
  const row = state.get('groups', name)
  if (row !== undefined) return row
  const scalable = state.get('scalables', name)
  if (scalable !== undefined)
    throw new ClusterError('CONFLICT', `${name} runs on several nodes, and this is asked of one of its parts`, {
      fix: `ask it of ${partRows(state, scalable.name)
        .map((part) => part.name)
        .join(', ')}`,
    })
  const nearest = nearestName(
    name,
    [...groupsOf(state), ...scalablesOf(state)].map((group) => group.name),
  )
  throw new ClusterError('GROUP_NOT_FOUND', `there is no group "${name.slice(0, 80)}"`, {
    fix: nearest === undefined ? 'GET /v1/groups lists them' : `did you mean "${nearest}"?`,
  })
}

/** What people define under that name. Errors: GROUP_NOT_FOUND. */
function definedAs(state: Reader, name: string): GroupRow | ScalableRow {
  return state.get('scalables', name) ?? groupOf(state, name)
}

const isScalable = (row: GroupRow | ScalableRow): row is ScalableRow => row.definition.mode === 'scalable'

function presentWhole(view: View, row: GroupRow | ScalableRow): Record<string, unknown> {
  return isScalable(row) ? presentScalableWhole(view, row) : presentGroupWhole(view, row)
}

export function groupRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/groups',
      tag: 'groups',
      summary: 'All groups.',
      query: blockingQuery,
      answers: { 200: 'Name, state, intent, holders and what each waits for.' },
      handle: async (call) => {
        const view = await read(access, call, { withLeaderView: true, relevant: { tables: ['groups', 'scalables', ...around] } })
        return { body: { ...view.age, groups: presentGroups(view) } }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group',
      tag: 'groups',
      summary: 'One group, whole. With `until` it waits for a state.',
      query: {
        ...blockingQuery,
        until: {
          kind: 'choice',
          values: Object.keys(groupStates),
          doc: 'Waits until the group has this state (as long as `wait`, 30s unless given).',
        },
        wait: { kind: 'duration', min: 1, max: waitMax, doc: 'How long to wait.' },
      },
      answers: { 200: 'As it is, also when the awaited state did not come in time.' },
      handle: async (call) => {
        const key = call.params.group ?? ''
        if (call.query.text('until') !== undefined) await awaitState(access, call, key)
        // Of a scalable group any of its parts may have changed.
        const isWhole = access.formedNode?.state.get('scalables', key) !== undefined
        const relevant = isWhole ? { tables: ['groups', ...around] as const } : { tables: around, row: { table: 'groups', key } as const }
        const view = await read(access, call, { withLeaderView: true, relevant })
        const row = definedAs(view.state, key)
        return { revision: row.revision, body: { ...view.age, ...presentWhole(view, row) } }
      },
    },
    {
      method: 'PUT',
      path: '/v1/groups/:group',
      tag: 'groups',
      summary: 'Creates the group or replaces its definition. Its intent is ONLINE unless it says otherwise.',
      query: { ...changeQuery, ...validateQuery },
      body: groupPutSchema,
      answers: { 200: 'The group, changed or unchanged.', 201: 'The group, created.' },
      handle: (call) => put(access, call),
    },
    {
      method: 'PATCH',
      path: '/v1/groups/:group',
      tag: 'groups',
      summary: 'Changes the definition (JSON merge patch, RFC 7396).',
      query: { ...changeQuery, ...validateQuery },
      body: groupPatchSchema,
      answers: { 200: 'The group, changed or unchanged.' },
      handle: (call) => patch(access, call),
    },
    {
      method: 'DELETE',
      path: '/v1/groups/:group',
      tag: 'groups',
      summary: 'Stops it everywhere, then forgets it. Until then its name is held.',
      query: operationQuery,
      answers: operationAnswers,
      handle: (call) =>
        operate(access, call, (operation) => ({
          kind: 'delete-group',
          group: (call.params.group ?? '') as GroupName,
          operation,
          precondition: preconditionOf(call),
        })),
    },
  ]
}

async function awaitState(access: Access, call: Call, key: string): Promise<void> {
  await read(access, call)
  const { node } = access
  const isThere = (): boolean => {
    const row = node.state.get('scalables', key) ?? node.state.get('groups', key)
    if (row === undefined) return true
    const { state } = isScalable(row) ? presentScalable(localView(node), row) : presentGroupWhole(localView(node), row)
    return state === call.query.text('until')
  }
  await access.waits.until(isThere, call.query.number('wait') ?? 30_000, call.signal)
}

/** The body is a definition, or what GET answered with changes in it; then its revision counts as If-Match. */
async function put(access: Access, call: Call): Promise<Answer> {
  const name = groupName(call.params.group ?? '')
  const given = preconditionOf(call)
  let written = call.body
  let read_: { readonly intent?: 'ONLINE' | 'OFFLINE'; readonly revision?: number } = {}
  if (Object.hasOwn(written as object, 'definition')) {
    checkValue(groupDocumentSchema, written)
    const document = written as { readonly definition: unknown; readonly name?: unknown } & typeof read_
    if (document.name !== undefined && document.name !== name)
      throw new ClusterError('INVALID', `the path names ${name}, the body ${JSON.stringify(document.name).slice(0, 80)}`, {
        fix: 'make them the same',
      })
    written = document.definition
    read_ = document
  }
  const lenient = call.query.flag('validate') === false
  const { definition, intent, ...read } = await readDefinition(written, nodeNames(access), access.types, { group: name, lenient })
  const warnings = [...read.warnings, ...(lenient ? [] : await validateOnNodes(access.node, definition, committed(access, name)))]
  const precondition = read_.revision === undefined ? given : { ifRevision: read_.revision as never, ...given }
  const answer = await carryOut(
    access,
    call,
    { kind: 'put-group', group: name, definition, intent: intent ?? read_.intent ?? null, precondition },
    (value) => ({
      status: value.created === true ? 201 : 200,
      ...(value.created === true ? { headers: { location: `/v1/groups/${name}` } } : {}),
      ...presentNow(access, name, value),
    }),
  )
  return withWarnings(answer, warnings)
}

/** As this node knows it: what of a definition is new is only asked to save the agents work. */
function committed(access: Access, name: string): AnyDefinition | undefined {
  const { state } = access.node
  return (state.get('scalables', name) ?? state.get('groups', name))?.definition
}

function withWarnings(answer: Answer, warnings: readonly string[]): Answer {
  return warnings.length === 0 ? answer : { ...answer, body: { ...(answer.body as object), warnings } }
}

async function patch(access: Access, call: Call): Promise<Answer> {
  const { state } = await read(access, call)
  const group = definedAs(state, call.params.group ?? '')
  const merged = mergePatch({ ...writtenForm(group.definition), intent: group.intent }, call.body)
  const lenient = call.query.flag('validate') === false
  const { definition, intent, ...read_ } = await readDefinition(merged, nodeNames(access), access.types, {
    group: group.name,
    lenient,
    what: 'the group',
  })
  const warnings = [...read_.warnings, ...(lenient ? [] : await validateOnNodes(access.node, definition, group.definition))]
  // What was read here is what was merged into.
  const precondition = { ifRevision: group.revision, ...preconditionOf(call) }
  const answer = await carryOut(access, call, { kind: 'put-group', group: group.name, definition, intent, precondition }, (value) =>
    presentNow(access, group.name, value),
  )
  return withWarnings(answer, warnings)
}

function nodeNames(access: Access): readonly string[] {
  return nodesOf(access.node.state).map((node) => node.name)
}

/** The group after a change, without asking anybody again. */
export function presentNow(access: Access, name: string, value: Readonly<Record<string, unknown>> = {}): Answer {
  const view = localView(access.node)
  const group = view.state.get('scalables', name) ?? view.state.get('groups', name)
  // Deleted in the same moment by somebody else: the change itself was carried out.
  if (group === undefined) return { body: { name, ...value } }
  const unchanged = value.unchanged === true ? { unchanged: true } : {}
  return { revision: group.revision, body: { ...presentWhole(view, group), ...unchanged } }
}
