/** JSON Schemas as plain constants. Both the checks and the OpenAPI description are made from them; a `title` makes one a component there. */

export interface Schema {
  readonly title?: string
  readonly description?: string
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly propertyNames?: Schema
  readonly items?: Schema
  readonly minItems?: number
  readonly maxItems?: number
  readonly uniqueItems?: boolean
  readonly minProperties?: number
  readonly maxProperties?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly not?: Schema
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  /** Told, not taken: what a GET gave may come back with it. */
  readonly readOnly?: boolean
  /** A key of a later version: refused with NOT_YET. */
  readonly 'x-not-yet'?: boolean
}

/** An object that has these keys and no others. */
export function closed(
  properties: Readonly<Record<string, Schema>>,
  extra: Omit<Schema, 'properties' | 'additionalProperties' | 'type'> = {},
): Schema {
  return { type: 'object', ...extra, properties, additionalProperties: false }
}

/** An object whose keys the user chooses. */
export function mapOf(values: Schema, description: string, maxProperties = 10_000): Schema {
  return { type: 'object', description, additionalProperties: values, maxProperties }
}

export const anything: Schema = { description: 'Any JSON value.' }
export const text = (description: string, maxLength = 1_000): Schema => ({ type: 'string', description, minLength: 1, maxLength })
export const count = (description: string, minimum: number, maximum: number): Schema => ({ type: 'integer', description, minimum, maximum })
export const choice = (description: string, values: readonly unknown[]): Schema => ({ description, enum: values })
export const duration = (description: string): Schema => ({
  type: ['string', 'integer'],
  description: `${description} A duration such as "5s", or whole milliseconds.`,
  examples: ['5s'],
})
export const revision = (description: string): Schema => count(description, 0, Number.MAX_SAFE_INTEGER)
export const later = (description: string): Schema => ({
  description: `${description} Comes with a later version.`,
  not: {},
  'x-not-yet': true,
})
export const told = (description: string): Schema => ({ description, readOnly: true })
