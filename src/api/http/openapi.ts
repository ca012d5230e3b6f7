/** OpenAPI 3.1, made from the routes and schemas that requests are checked by. */
import { errorTable } from '../../base/index.js'
import { caseStages, groupStates, nodeStates, proofKinds, type Schema } from '../schemas/index.js'
import type { QueryParameter } from './query.js'
import type { Route } from './route.js'

type Json = Record<string, unknown>

export function openApi(routes: readonly Route[]): Json {
  const components: Record<string, Json> = { Problem: problemSchema, ...tables() }
  const paths: Record<string, Json> = {}
  for (const route of routes) {
    const path = pathOf(route.path)
    paths[path] ??= {}
    ;(paths[path] as Json)[route.method.toLowerCase()] = operationOf(route, components)
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Quorate',
      version: '1',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'Any node answers. Every answer has the headers quorate-index, quorate-term and quorate-leader. ETags are revisions; If-Match and ' +
        'If-None-Match: * guard changes; an Idempotency-Key makes a retry safe. Errors are application/problem+json with a code and a fix.',
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map((route) => route.tag))].map((name) => ({ name })),
    paths,
    components: { schemas: components },
    'x-error-codes': errorTable,
    'x-group-states': groupStates,
  }
}

const pathOf = (path: string): string => path.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{key}')

function operationOf(route: Route, components: Record<string, Json>): Json {
  const path = pathOf(route.path)
  const parameters = [
    ...[...path.matchAll(/\{(\w+)\}/g)].map((match) => ({ name: match[1], in: 'path', required: true, schema: { type: 'string' } })),
    ...Object.entries(route.query ?? {}).map(([name, parameter]) => ({
      name,
      in: 'query',
      required: parameter.kind === 'text' && parameter.required === true,
      description: parameter.doc,
      schema: querySchema(parameter),
    })),
  ]
  return {
    operationId: `${route.method.toLowerCase()}${path.replaceAll(/[^a-zA-Z0-9]+(\w)/g, (_, letter: string) => letter.toUpperCase()).replaceAll(/\W/g, '')}`,
    summary: route.summary,
    tags: [route.tag],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...requestBody(route, components),
    responses: responses(route),
  }
}

function requestBody(route: Route, components: Record<string, Json>): Json {
  if (route.body === undefined || route.tag === 'later') return {}
  if (route.body === 'raw') return { requestBody: { content: { '*/*': { schema: { type: 'string' } } } } }
  const schema = reference(route.body, components)
  return { requestBody: { required: true, content: { 'application/json': { schema }, 'application/yaml': { schema } } } }
}

function responses(route: Route): Json {
  const answers = Object.entries(route.answers).map(([status, description]) => [
    status,
    { description, content: { 'application/json': {} } },
  ])
  const problem = {
    description: 'A problem.',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  }
  return { ...Object.fromEntries(answers), ...(route.tag === 'later' ? { 501: problem } : {}), default: problem }
}

function querySchema(parameter: QueryParameter): Json {
  switch (parameter.kind) {
    case 'integer':
      return { type: 'integer', minimum: parameter.min, maximum: parameter.max }
    case 'duration':
      return { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h|d)$', examples: ['30s'] }
    case 'flag':
      return { type: 'boolean' }
    case 'choice':
      return { type: 'string', enum: parameter.values }
    case 'text':
      return { type: 'string', maxLength: 512 }
  }
}

/** Titled schemas become components, however deep they lie. */
function reference(schema: Schema, components: Record<string, Json>): Json {
  const { title } = schema
  if (title === undefined) return walk(schema, components)
  if (components[title] === undefined) {
    components[title] = {} // Before its insides, which may name it.
    components[title] = walk(schema, components)
  }
  return { $ref: `#/components/schemas/${title}` }
}

function walk(schema: Schema, components: Record<string, Json>): Json {
  const { properties, items, additionalProperties, not, ...rest } = schema
  return {
    ...rest,
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([name, inner]) => [name, reference(inner, components)])) }),
    ...(items === undefined ? {} : { items: reference(items, components) }),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === 'boolean' ? additionalProperties : reference(additionalProperties, components),
        }),
    ...(not === undefined ? {} : { not: walk(not, components) }),
  }
}

const problemSchema: Json = {
  description: 'RFC 9457.',
  type: 'object',
  properties: {
    type: { type: 'string' },
    title: { type: 'string', description: 'What the code means.' },
    status: { type: 'integer' },
    code: { $ref: '#/components/schemas/ErrorCode' },
    detail: { type: 'string', description: 'What was wrong this time.' },
    fix: { type: 'string', description: 'What to do next.' },
    facts: { type: 'object', description: 'Values that the text speaks of.' },
    instance: { type: 'string' },
  },
  required: ['type', 'title', 'status', 'code', 'detail', 'instance'],
}

function tables(): Record<string, Json> {
  const table = (entries: Readonly<Record<string, string>>): Json => ({
    type: 'string',
    oneOf: Object.entries(entries).map(([name, description]) => ({ const: name, description })),
  })
  const errors = Object.entries(errorTable).map(([code, { httpStatus, text, retry }]) => [
    code,
    `${httpStatus}: ${text}${retry ? '; try again' : ''}`,
  ])
  return {
    ErrorCode: table(Object.fromEntries(errors)),
    GroupState: table(groupStates),
    NodeState: table(nodeStates),
    CaseStage: table(caseStages),
    ProofKind: table(proofKinds),
  }
}
