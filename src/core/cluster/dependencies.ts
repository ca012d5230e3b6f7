/**
 * How resources of one group depend on each other, with the words of Solaris Cluster.
 *
 * All kinds order starts and stops. They differ in what a restart in place does to the dependent, and `weak` in what it needs.
 */
import type { ResourceName } from '../../base/index.js'

export const dependencyKinds = ['strong', 'weak', 'restart', 'offlineRestart'] as const

/**
 * - `strong`: it runs only while the needed one does, and stays up while that one is restarted in place.
 * - `weak`: order only. It starts although the needed one could not.
 * - `restart`: as strong, and it is restarted once the needed one is up again.
 * - `offlineRestart`: as strong, and it is brought down before the needed one is restarted.
 */
export type DependencyKind = (typeof dependencyKinds)[number]

export interface Dependency {
  readonly resource: ResourceName
  readonly kind: DependencyKind
}

/** A name alone is `offlineRestart`, and in the normal form that one is a name alone. */
export type DependsOn = ResourceName | Dependency

interface Dependent {
  readonly dependsOn: readonly DependsOn[]
}
type Dependents = { readonly [name: ResourceName]: Dependent }

export function dependenciesOf({ dependsOn }: Dependent): readonly Dependency[] {
  return dependsOn.map((needed) => (typeof needed === 'string' ? { resource: needed, kind: 'offlineRestart' } : needed))
}

export function normalDependency(written: DependsOn): DependsOn {
  return typeof written !== 'string' && written.kind === 'offlineRestart' ? written.resource : written
}

/** Who depends on it, and how. */
export function dependentsOf(resources: Dependents, name: ResourceName): readonly Dependency[] {
  return (Object.keys(resources) as ResourceName[]).sort().flatMap((other) =>
    dependenciesOf(resources[other] as Dependent)
      .filter(({ resource }) => resource === name)
      .map(({ kind }) => ({ resource: other, kind })),
  )
}

/** A resource and what is brought down before it is restarted in place; with `whole`, everything that depends on it in any way. */
export function restartedWith(resources: Dependents, name: ResourceName, whole: boolean): ReadonlySet<ResourceName> {
  const found = new Set<ResourceName>()
  const waiting = [name]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(next)) continue
    found.add(next)
    for (const { resource, kind } of dependentsOf(resources, next)) if (whole || kind === 'offlineRestart') waiting.push(resource)
  }
  return found
}

/** What is restarted once these are up again. */
export function restartedAfter(resources: Dependents, restarted: ReadonlySet<ResourceName>): readonly ResourceName[] {
  const after = [...restarted].flatMap((name) =>
    dependentsOf(resources, name).flatMap(({ resource, kind }) => (kind === 'restart' && !restarted.has(resource) ? [resource] : [])),
  )
  return [...new Set(after)].sort()
}
