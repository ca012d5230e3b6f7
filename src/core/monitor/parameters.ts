/** What parameters of built-in types may be: each check says what is wrong with a value, or nothing. */
import { parseDuration, parseSize } from '../../base/index.js'
import type { ParameterValue } from '../cluster/index.js'

export interface ParameterSpecification {
  readonly required?: boolean
  readonly doc: string
  /** What is wrong with the value; undefined when it is good. */
  readonly check: (value: ParameterValue) => string | undefined
}

export interface ParameterProblem {
  /** `type` when the type itself is wrong. */
  readonly parameter: string
  readonly detail: string
  readonly fix?: string
}

type Parameters = { readonly [name: string]: ParameterValue }
type Check = ParameterSpecification['check']

export const text: Check = (value) => (typeof value === 'string' && value !== '' ? undefined : 'must be a non-empty string')
export const port: Check = (value) => (isPort(value) ? undefined : 'must be a port number, 1 to 65535')
export const path: Check = (value) => (String(value).startsWith('/') ? undefined : 'must be an absolute path')
export const device: Check = (value) => (/^[\w.@-]{1,15}$/.test(String(value)) ? undefined : 'must be the name of a network device')
export const program: Check = (value) =>
  (typeof value === 'string' && value !== '') || (Array.isArray(value) && value.length > 0 && value[0] !== '')
    ? undefined
    : 'must be a shell command, or a list with the program first'

export const duration: Check = (value) => {
  try {
    return parseDuration(value as string | number) >= 1 ? undefined : 'must be at least 1ms'
  } catch {
    return 'must be a duration such as 2s'
  }
}

export const expression: Check = (value) => {
  if (typeof value !== 'string' || value === '' || value.length > 500) return 'must be a regular expression of 1 to 500 characters'
  try {
    new RegExp(value, 'm')
    return undefined
  } catch (error) {
    return `must be a regular expression: ${(error as Error).message}`
  }
}

/** What is asked of a disk: bytes, or a share of it. */
export function parseFree(value: string | number): { readonly bytes: number } | { readonly percent: number } {
  const share = /^(\d+(?:\.\d+)?)%$/.exec(String(value).trim())
  return share === null ? { bytes: parseSize(value) } : { percent: Number(share[1]) }
}

export const free: Check = (value) => {
  const wrong = 'must be a size such as 10GiB, or a share such as 5%'
  try {
    const wanted = parseFree(value as string | number)
    return 'bytes' in wanted ? (wanted.bytes > 0 ? undefined : wrong) : wanted.percent > 0 && wanted.percent < 100 ? undefined : wrong
  } catch {
    return wrong
  }
}

export interface Target {
  readonly host: string
  readonly port: number
}

/** `host:port`, an IPv6 address in brackets; undefined when it is neither. */
export function parseTarget(value: string): Target | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(value)
  const number = Number(match?.[3])
  return match === null || !isPort(number) ? undefined : { host: (match[1] ?? match[2]) as string, port: number }
}

export const targets: Check = (value) => {
  if (!Array.isArray(value) || value.length === 0 || value.length > 64) return 'must be a list of 1 to 64 targets'
  const wrong = (value as readonly string[]).find((target) => parseTarget(target) === undefined)
  return wrong === undefined ? undefined : `must be a list of host:port, and "${wrong}" is none`
}

function isPort(value: ParameterValue): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535
}

export const given = (parameters: Parameters, ...names: readonly string[]) => names.filter((name) => parameters[name] !== undefined)
