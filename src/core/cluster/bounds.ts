/** Bounds of how a resource is watched and of what it may use. */
import { ClusterError } from '../../base/index.js'
import { depthsOf, type ResourceDefinition } from './definition.js'

const durationMax = 86_400_000
const countMax = 100

/** The first problem, with its fix; undefined when there is none. */
export function checkBounds(name: string, resource: ResourceDefinition): ClusterError | undefined {
  const { probe, limits = {} } = resource
  const { failures, of } = probe.failAfter ?? { failures: 1, of: 1 }
  const bounds: readonly Bound[] = [
    ['probe.failAfter.of', of, 1, countMax],
    ['probe.failAfter.failures', failures, 1, of],
    ['probe.timeouts', probe.timeouts, 1, countMax],
    ...depthsOf(resource).flatMap((depth): readonly Bound[] => [
      ['probeDeep.interval', depth.interval, 50, durationMax],
      ['probeDeep.timeout', depth.timeout, 50, durationMax],
      ['probeDeep.level', depth.level, 1, 1_000],
    ]),
    ['limits.memory', limits.memory, 1_048_576, Number.MAX_SAFE_INTEGER],
    ['limits.tasks', limits.tasks, 1, 4_194_304],
    ['limits.openFiles', limits.openFiles, 16, 1_073_741_816],
  ]
  const [first] = bounds.filter(([, value, min, max]) => value !== undefined && !isWhole(value, min, max))
  if (first !== undefined) {
    const [key, value, min, max] = first
    return wrong(`resource "${name}": ${key} is ${value}`, `use a whole number from ${min} to ${max}`)
  }
  if (limits.cpu !== undefined && !(limits.cpu >= 0.01 && limits.cpu <= 4_096)) {
    return wrong(`resource "${name}": limits.cpu is ${limits.cpu}`, 'say how many processors it may use, from 0.01 to 4096')
  }
  return undefined
}

type Bound = readonly [key: string, value: number | undefined, min: number, max: number]

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function wrong(detail: string, fix: string): ClusterError {
  return new ClusterError('INVALID_DEFINITION', detail, { fix })
}
