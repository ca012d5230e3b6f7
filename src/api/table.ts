/** The routes as one table, from which the server and the OpenAPI description are made. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorTable } from '../base/index.js'
import type { Schema } from './body.js'
import { groupStates } from './schemas.js'

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly summary: string
  readonly body?: Schema
  readonly query?: readonly string[]
  /** What it gives back becomes the JSON body. */
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
}
export type RouteTable = readonly Route[]

interface DescriptionRoute {
  readonly method: 'GET'
  readonly path: string
  readonly handle: (request: FastifyRequest, reply: FastifyReply) => unknown
}

export function describeRoutes(table: RouteTable): readonly DescriptionRoute[] {
  const description = openApi(table)
  return [
    {
      method: 'GET',
      path: '/v1/openapi.json',
      handle: (_request, reply) => reply.type('application/json; charset=utf-8').send(`${JSON.stringify(description, undefined, 2)}\n`),
    },
    { method: 'GET', path: '/docs', handle: (_request, reply) => reply.type('text/html; charset=utf-8').send(page(table)) },
  ]
}

/** OpenAPI 3.1, with every error code and every state in one table. */
export function openApi(table: RouteTable): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of table) {
    const path = route.path.replace(/:(\w+)/g, '{$1}').replace(/\/\*$/, '/{key}')
    const names = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] as string)
    paths[path] = {
      ...paths[path],
      [route.method.toLowerCase()]: {
        summary: route.summary,
        parameters: [
          ...names.map((name) => ({ name, in: 'path', required: true, schema: { type: 'string' } })),
          ...(route.query ?? []).map((name) => ({ name, in: 'query', required: false, schema: { type: 'string' } })),
        ],
        ...(route.body === undefined ? {} : { requestBody: { required: false, content: { 'application/json': { schema: route.body } } } }),
        responses: {
          default: {
            description: 'The object, or a problem.',
            content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
          },
        },
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Quorate', version: '1', description: 'High-availability cluster manager. Any node answers.' },
    paths,
    components: {
      schemas: {
        Problem: {
          type: 'object',
          required: ['type', 'title', 'status', 'code', 'detail'],
          properties: {
            type: { type: 'string' },
            title: { type: 'string' },
            status: { type: 'integer' },
            code: { type: 'string', enum: Object.keys(errorTable) },
            detail: { type: 'string' },
            fix: { type: 'string', description: 'What to do next.' },
            facts: { type: 'object' },
            instance: { type: 'string' },
          },
        },
        GroupState: {
          type: 'string',
          enum: Object.keys(groupStates),
          description: Object.entries(groupStates)
            .map(([state, text]) => `${state}: ${text}`)
            .join('\n'),
        },
      },
    },
    'x-error-codes': errorTable,
    'x-group-states': groupStates,
  }
}

function page(table: RouteTable): string {
  const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
  const rows = table
    .map(
      (route) =>
        `<tr><td><code>${route.method}</code></td><td><code>${escape(route.path)}</code></td><td>${escape(route.summary)}</td></tr>`,
    )
    .join('\n')
  const errors = Object.entries(errorTable)
    .map(([code, entry]) => `<tr><td><code>${code}</code></td><td>${entry.httpStatus}</td><td>${escape(entry.text)}</td></tr>`)
    .join('\n')
  const states = Object.entries(groupStates)
    .map(([state, text]) => `<tr><td><code>${state}</code></td><td>${escape(text)}</td></tr>`)
    .join('\n')
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Quorate API</title><style>body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}table{border-collapse:collapse;width:100%}td{border-bottom:1px solid #ddd;padding:.3em .6em;vertical-align:top}code{font-size:13px}</style>
<h1>Quorate API, version 1</h1><p>Any node answers. JSON in and out; <a href="/v1/openapi.json">OpenAPI 3.1</a>. Errors are problem+json with <code>code</code>, <code>detail</code> and <code>fix</code>.</p>
<h2>Paths</h2><table>${rows}</table><h2>Group states</h2><table>${states}</table><h2>Error codes</h2><table>${errors}</table></html>\n`
}
