/** Small values for applications: compare-and-set by revision, transactions, lists by prefix. */
import { ClusterError, type LogIndex } from '../../base/index.js'
import { type StoreOperation, storeKeyMax } from '../../core/cluster/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { preconditionOf } from '../cluster/preconditions.js'
import { blockingQuery, read } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { storeTransactionSchema, storeValueSchema } from '../schemas/index.js'

const listMax = 1_000

export function storeRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/store',
      tag: 'store',
      summary: 'Keys with their values, in order.',
      query: {
        ...blockingQuery,
        prefix: { kind: 'text', doc: 'Only keys that begin so.' },
        after: { kind: 'text', doc: 'Only keys after this one: `next` of the answer before.' },
        limit: { kind: 'integer', min: 1, max: listMax, doc: 'How many; 100 unless given.' },
      },
      answers: { 200: '`next` is null when there are no more.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['store'] } })
        const prefix = call.query.text('prefix') ?? ''
        const after = call.query.text('after')
        const limit = call.query.number('limit') ?? 100
        const items: { readonly key: string }[] = []
        let next: string | null = null
        for (const [key, row] of view.state.rows('store', after !== undefined && after > prefix ? after : prefix)) {
          if (key === after) continue
          if (!key.startsWith(prefix)) break
          if (items.length === limit) {
            next = items.at(-1)?.key ?? null
            break
          }
          items.push({ key, ...row })
        }
        return { body: { ...view.age, items, next } }
      },
    },
    {
      method: 'POST',
      path: '/v1/store',
      tag: 'store',
      lean: true,
      summary: 'A transaction: put, delete, get and check, in order, all or nothing.',
      query: changeQuery,
      body: storeTransactionSchema,
      answers: { 200: 'One result an operation.' },
      handle: (call) => {
        const { operations } = call.body as { readonly operations: readonly Written[] }
        return carryOut(access, call, { kind: 'store', operations: operations.map(operationOf) }, (value) => ({ body: value }))
      },
    },
    {
      method: 'GET',
      path: '/v1/store/*',
      tag: 'store',
      lean: true,
      summary: 'One value. Keys may contain `/`.',
      query: blockingQuery,
      answers: { 200: 'Key, value and revision.' },
      handle: async (call) => {
        const key = keyOf(call)
        const view = await read(access, call, { relevant: { tables: [], row: { table: 'store', key } } })
        const row = view.state.get('store', key)
        if (row === undefined)
          throw new ClusterError('KEY_NOT_FOUND', `the store has no key "${key.slice(0, 80)}"`, {
            fix: 'GET /v1/store?prefix=… lists keys',
          })
        return { revision: row.revision, body: { ...view.age, key, value: row.value, revision: row.revision } }
      },
    },
    {
      method: 'PUT',
      path: '/v1/store/*',
      tag: 'store',
      lean: true,
      summary: 'Writes a value: `{"value": …}`. If-Match compares, If-None-Match: * only creates.',
      query: changeQuery,
      body: storeValueSchema,
      answers: { 200: 'Key and revision.' },
      handle: (call) => {
        const key = keyOf(call)
        const { value } = call.body as { value: unknown }
        return single(access, call, { kind: 'put', key, value, ...preconditionOf(call) })
      },
    },
    {
      method: 'DELETE',
      path: '/v1/store/*',
      tag: 'store',
      summary: 'Removes a key.',
      query: changeQuery,
      answers: { 200: 'Key and revision.' },
      handle: (call) => single(access, call, { kind: 'delete', key: keyOf(call), ...preconditionOf(call) }),
    },
  ]
}

function single(access: Access, call: Call, operation: StoreOperation): Promise<Answer> {
  return carryOut(access, call, { kind: 'store', operations: [operation] }, (value) => {
    const [result] = value.results as readonly { readonly revision: number }[]
    return operation.kind === 'put' ? { revision: result?.revision ?? 0, body: result } : { body: result }
  })
}

/** Errors: INVALID_NAME. */
function keyOf(call: Call): string {
  const key = call.params['*'] ?? ''
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused.
  if (key === '' || key.length > storeKeyMax || /[\u0000-\u001f\u007f]/.test(key))
    throw new ClusterError('INVALID_NAME', `"${key.slice(0, 80)}" cannot be a key`, {
      fix: `use 1 to ${storeKeyMax} characters without control characters`,
    })
  return key
}

interface Written {
  readonly kind: StoreOperation['kind']
  readonly key: string
  readonly value?: unknown
  readonly revision?: LogIndex
  readonly ifRevision?: LogIndex
  readonly ifAbsent?: boolean
}

const keysOf: Readonly<Record<StoreOperation['kind'], readonly string[]>> = {
  put: ['value', 'ifRevision', 'ifAbsent'],
  delete: ['ifRevision'],
  get: [],
  check: ['revision'],
}

/** Errors: INVALID, UNKNOWN_KEY. */
function operationOf(written: Written, at: number): StoreOperation {
  const { kind, key } = written
  for (const name of Object.keys(written)) {
    if (name === 'kind' || name === 'key' || keysOf[kind].includes(name)) continue
    throw new ClusterError('UNKNOWN_KEY', `operations.${at}: ${kind} takes no "${name}"`, {
      fix: `it takes ${['key', ...keysOf[kind]].join(', ')}`,
    })
  }
  const missing = kind === 'put' ? 'value' : kind === 'check' ? 'revision' : undefined
  if (missing !== undefined && !Object.hasOwn(written, missing))
    throw new ClusterError('INVALID', `operations.${at}: ${kind} of "${key.slice(0, 80)}" lacks "${missing}"`, { fix: `add "${missing}"` })
  return written as StoreOperation
}
