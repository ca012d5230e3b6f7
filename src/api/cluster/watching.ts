/** How a resource is watched and what it may use, between the form that people write and the normal form. What is not given is left out of both. */
import { ClusterError, formatDuration, formatSize, parseSize } from '../../base/index.js'
import { depthsOf, type ProbeDefinition, type ResourceDefinition } from '../../core/cluster/index.js'

export type Span = string | number

/** A duration of the resource in milliseconds, or its fallback. */
export type ReadSpan = (key: string, value: Span | undefined, fallback: number) => number

interface WrittenDepth {
  readonly interval: Span
  readonly timeout?: Span
  readonly level?: number
}

export interface WrittenWatching {
  readonly probe?: {
    readonly interval?: Span
    readonly timeout?: Span
    readonly failAfter?: { readonly failures: number; readonly of?: number }
    readonly timeouts?: number
  }
  readonly probeDeep?: WrittenDepth | readonly WrittenDepth[]
  readonly limits?: { readonly memory?: Span; readonly tasks?: number; readonly cpu?: number; readonly openFiles?: number }
}

type Watching = Pick<ResourceDefinition, 'probeDeep' | 'limits'>

/** Counts that say what holds anyway are left out: the same definition is written the same. */
export function readCounts({ probe = {} }: WrittenWatching): Pick<ProbeDefinition, 'failAfter' | 'timeouts'> {
  const { failAfter, timeouts = 1 } = probe
  const { failures = 1, of = failures } = failAfter ?? {}
  return { ...(failures === 1 && of === 1 ? {} : { failAfter: { failures, of } }), ...(timeouts === 1 ? {} : { timeouts }) }
}

/** Errors: INVALID. */
export function readWatching(name: string, { probeDeep, limits }: WrittenWatching, span: ReadSpan, timeout: number): Watching {
  const depths =
    probeDeep === undefined ? [] : Array.isArray(probeDeep) ? (probeDeep as readonly WrittenDepth[]) : [probeDeep as WrittenDepth]
  const read = depths.map(({ interval, timeout: own, level }) => ({
    interval: span('probeDeep.interval', interval, 0),
    timeout: span('probeDeep.timeout', own, timeout),
    ...(level === undefined ? {} : { level }),
  }))
  const [first] = read
  const deep = read.length > 1 ? read : first
  const { memory, ...others } = limits ?? {}
  const wanted = { ...(memory === undefined ? {} : { memory: readMemory(name, memory) }), ...others }
  return { ...(deep === undefined ? {} : { probeDeep: deep }), ...(Object.keys(wanted).length === 0 ? {} : { limits: wanted }) }
}

function readMemory(name: string, value: Span): number {
  try {
    return parseSize(value)
  } catch (error) {
    const fix = error instanceof ClusterError ? error.fix : undefined
    throw new ClusterError('INVALID', `resource "${name}": limits.memory is ${JSON.stringify(value)}`, fix === undefined ? {} : { fix })
  }
}

export function writtenProbe({ interval, timeout, failAfter, timeouts }: ProbeDefinition): Record<string, unknown> {
  return {
    interval: formatDuration(interval),
    timeout: formatDuration(timeout),
    ...(failAfter === undefined ? {} : { failAfter }),
    ...(timeouts === undefined ? {} : { timeouts }),
  }
}

export function writtenWatching({ probeDeep, limits }: Watching): Record<string, unknown> {
  const { memory } = limits ?? {}
  const depths = depthsOf(probeDeep === undefined ? {} : { probeDeep }).map((depth) => ({
    ...depth,
    interval: formatDuration(depth.interval),
    timeout: formatDuration(depth.timeout),
  }))
  return {
    ...(depths.length === 0 ? {} : { probeDeep: depths.length > 1 ? depths : depths[0] }),
    ...(limits === undefined ? {} : { limits: { ...limits, ...(memory === undefined ? {} : { memory: formatSize(memory) }) } }),
  }
}
