/** Chooses the strongest containment that this process may use. */
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainmentPlace } from '../../core/monitor/index.js'
import { cgroup2Containment, findCgroup2Mount } from './cgroup2.js'
import type { Containment } from './containment.js'
import { findFreezerMount, freezerContainment } from './freezer.js'
import { sweepContainment } from './sweep.js'

export type ContainmentPreference = 'auto' | ContainmentPlace['kind']

export interface ContainmentRequest {
  readonly preference: ContainmentPreference
  /** Of the run folder: two nodes on one kernel never share a cell. */
  readonly key: string
  readonly node: string
}

export function openContainment(request: ContainmentRequest): Containment {
  const { preference, key, node } = request
  const name = `quorate-${node}-${key}`
  const mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')
  if (preference === 'auto' || preference === 'cgroup2') {
    const root = usable(findCgroup2Mount(mountinfo), name, 'cgroup.kill')
    if (root !== undefined) return cgroup2Containment(root)
  }
  if (preference === 'auto' || preference === 'freezer') {
    const root = usable(findFreezerMount(mountinfo), name, 'freezer.state')
    if (root !== undefined) return freezerContainment(root)
  }
  return sweepContainment(key)
}

/** The containment of an earlier process, as its run record names it. */
export function reopenContainment(place: ContainmentPlace): Containment {
  switch (place.kind) {
    case 'cgroup2':
      return cgroup2Containment(place.root)
    case 'freezer':
      return freezerContainment(place.root)
    case 'sweep':
      return sweepContainment(place.root)
  }
}

/** This node's containment today, and those of earlier processes: an upgrade may have changed what is chosen. */
export function allContainments(current: Containment, places: readonly ContainmentPlace[]): readonly Containment[] {
  const known = new Map([[JSON.stringify(current.place), current]])
  for (const place of places) if (!known.has(JSON.stringify(place))) known.set(JSON.stringify(place), reopenContainment(place))
  return [...known.values()]
}

/** The node's folder, if cells can be made in it and processes moved into them. */
function usable(mount: string | undefined, name: string, file: string): string | undefined {
  if (mount === undefined) return undefined
  const root = join(mount, name)
  const trial = join(root, `trial-${process.pid}`)
  try {
    mkdirSync(trial, { recursive: true })
    readFileSync(join(trial, 'cgroup.procs'))
    return existsSync(join(trial, file)) ? root : undefined
  } catch {
    return undefined
  } finally {
    try {
      rmdirSync(trial)
    } catch {
      // It was never made.
    }
  }
}
