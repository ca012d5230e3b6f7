/** The JSON Schemas of what the API takes. Validation and the OpenAPI description are made from these alone. */
import { profiles, settingKeys, settings } from '../base/index.js'
import type { Schema } from './body.js'

const duration: Schema = { type: ['string', 'number'], description: 'A duration such as "5s", or milliseconds.' }
const closed = (properties: Schema, required: readonly string[] = [], description?: string): Schema => ({
  type: 'object',
  properties,
  required,
  additionalProperties: false,
  ...(description === undefined ? {} : { description }),
})
const text: Schema = { type: 'string', minLength: 1, maxLength: 1_000 }

const resource = closed(
  {
    type: { type: 'string', description: 'command, logical-hostname, tcp, http, or ocf:<provider>:<agent>' },
    parameters: {
      type: 'object',
      additionalProperties: {
        anyOf: [
          { type: ['string', 'number', 'boolean'] },
          { type: 'array', items: { type: 'string' } },
          { type: 'object', additionalProperties: { type: 'string' } },
        ],
      },
    },
    dependsOn: { type: 'array', items: { type: 'string' }, uniqueItems: true },
    probe: closed({ interval: duration, timeout: duration }),
    start: closed({ timeout: duration }),
    stop: closed({ timeout: duration }),
    restart: closed({ max: { type: 'integer' }, window: duration }),
  },
  ['type'],
)

export const groupSchema = closed(
  {
    mode: { type: 'string', enum: ['failover', 'scalable'] },
    nodes: { type: 'array', items: { type: 'string' } },
    priority: { type: 'integer', minimum: -1_000_000, maximum: 1_000_000 },
    failback: closed({ mode: { type: 'string', enum: ['never', 'immediate', 'window', 'manual'] } }, ['mode']),
    intent: { type: 'string', enum: ['ONLINE', 'OFFLINE'] },
    resources: { type: 'object', additionalProperties: resource },
  },
  ['nodes', 'resources'],
  'A failover group: ranked nodes and resources with dependencies.',
)

const device = closed(
  { agent: text, parameters: { type: 'object', additionalProperties: { type: ['string', 'number', 'boolean'] } }, timeout: duration },
  ['agent'],
)
export const fencingSchema = closed(
  {
    levels: { type: 'array', maxItems: 8, items: { type: 'array', minItems: 1, maxItems: 8, items: device } },
    then: { type: 'string', enum: ['on', 'stay-off'] },
  },
  ['levels'],
)
export const nodePatchSchema = closed({ fencing: fencingSchema, attributes: { type: 'object', additionalProperties: { type: 'string' } } })

export const settingsSchema = closed({
  profile: { type: 'string', enum: [...profiles] },
  ...Object.fromEntries(
    settingKeys.map((key) => [
      key,
      {
        type: settings[key].kind === 'switch' ? ['boolean', 'null'] : ['string', 'number', 'null'],
        description: `${settings[key].doc} null: as the profile has it.`,
      },
    ]),
  ),
})

export const emptySchema = closed({})
export const moveSchema = closed({ to: text }, ['to'])
export const freezeSchema = closed({ for: duration, owner: text, reason: text }, ['for', 'owner', 'reason'])
export const acknowledgeSchema = closed({ node: text, reason: text, by: text }, ['node', 'reason'])
export const fenceSchema = closed({ node: text, reason: text }, ['node', 'reason'])
export const transferSchema = closed({ to: text }, ['to'])
export const storeValueSchema = closed({ value: {} }, ['value'])
const key: Schema = { type: 'string', minLength: 1, maxLength: 512 }
const revision: Schema = { type: 'integer', minimum: 0 }
export const storeTransactionSchema = closed(
  {
    operations: {
      type: 'array',
      minItems: 1,
      maxItems: 1_000,
      items: {
        anyOf: [
          closed({ kind: { const: 'put' }, key, value: {}, ifRevision: revision, ifAbsent: { type: 'boolean' } }, ['kind', 'key', 'value']),
          closed({ kind: { const: 'delete' }, key, ifRevision: revision }, ['kind', 'key']),
          closed({ kind: { const: 'get' }, key }, ['kind', 'key']),
          closed({ kind: { const: 'check' }, key, revision }, ['kind', 'key', 'revision']),
        ],
      },
    },
  },
  ['operations'],
)
export const documentSchema = closed(
  {
    settings: settingsSchema,
    nodes: { type: 'object', additionalProperties: nodePatchSchema },
    groups: { type: 'object', additionalProperties: groupSchema },
    prune: { type: 'boolean', description: 'Groups that the document does not list are deleted.' },
    ifRevision: revision,
    planHash: text,
  },
  [],
  'A whole configuration, applied all or nothing.',
)

/** States of a group, with their meaning. */
export const groupStates = {
  OFFLINE: 'It runs nowhere.',
  STARTING: 'It was granted and is being started.',
  ONLINE: 'Every resource of it runs.',
  DEGRADED: 'It runs with less than it should.',
  STOPPING: 'It is being stopped.',
  FAILED: 'It failed on every node it may use, or is being judged after a failure.',
  BLOCKED: 'Its former holder may still run it and cannot be proved stopped yet.',
  UNKNOWN: 'Whether it runs could not be verified.',
  POISON: 'Its start was followed by the loss of nodes; it rests until cleared.',
} as const
export type GroupState = keyof typeof groupStates
