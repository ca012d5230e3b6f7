/** Values for applications. */
import { storeKeyMax } from '../../core/cluster/index.js'
import { anything, choice, closed, revision, type Schema } from './schema.js'

export const storeValueSchema = closed({ value: anything }, { title: 'StoreValue', required: ['value'] })

const operation: Schema = closed(
  {
    kind: choice('`check` fails the whole transaction unless the key has this revision (0: absent).', ['put', 'delete', 'get', 'check']),
    key: { type: 'string', minLength: 1, maxLength: storeKeyMax },
    value: { description: 'With put: any JSON value.' },
    revision: revision('With check.'),
    ifRevision: revision('With put and delete: only if the key has this revision.'),
    ifAbsent: { type: 'boolean', description: 'With put: only if there is no such key.' },
  },
  { title: 'StoreOperation', required: ['kind', 'key'] },
)

export const storeTransactionSchema = closed(
  { operations: { type: 'array', minItems: 1, maxItems: 1_000, items: operation } },
  { title: 'StoreTransaction', description: 'All or nothing, in order.', required: ['operations'] },
)
