/** JSON values: equal when their canonical texts are, whatever the order of an object's fields. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [field: string]: Json }

/** The same text for values that are equal, and only for them. */
export function canonical(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const fields = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonical(field)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

/** Small whole numbers for values, from 0 up; equal values have the same one. */
export class Interning {
  readonly values: Json[] = []
  private readonly ids = new Map<string, number>()

  id(value: Json): number {
    const text = canonical(value)
    const known = this.ids.get(text)
    if (known !== undefined) return known
    this.ids.set(text, this.values.length)
    this.values.push(value)
    return this.values.length - 1
  }
}
