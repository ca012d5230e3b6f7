/** How the processes of one resource are held together, so that all of them can be found, killed and shown to be gone. */
import type { ContainmentPlace } from '../../core/monitor/index.js'

/**
 * `service` holds what a start began, and what it left running; `action` what probes and stops run. Killing an action
 * must not touch the service.
 */
export type Part = 'service' | 'action'

export interface Containment {
  readonly place: ContainmentPlace
  /** The cell of a resource, by a name such as `group@resource`. Made when it is first joined. */
  cell(name: string, markers: CellMarkers): Cell
  /** Kills what is in flight in all cells, calls included, and touches no service and no start. `of`: only these; undefined stands for calls. */
  killActions(timeout: number, of?: OfGroup): Promise<boolean>
  /** Removes what was made for the node, if nothing is left in it. */
  remove(): void
}

/** Whether a group's cells are meant; a call has no group. */
export type OfGroup = (group: string | undefined) => boolean

/** Variables that every process of the cell starts with; where nothing better holds them, they are found by these. */
export type CellMarkers = Readonly<Record<string, string>>

/** Cells of calls begin so; the name of a group cannot. */
export const callPrefix = '.call-'

/** What the service of a cell may use, all its processes together. */
export interface CellLimits {
  /** Bytes. */
  readonly memory?: number
  readonly tasks?: number
  /** Processors. */
  readonly cpu?: number
}

export interface Cell {
  /** File into which the new process writes its pid before it becomes the program; undefined where there is none. */
  join(part: Part): string | undefined
  /** Sets limits for the part `service`, and lifts those that are not given. Answers with the names of those that nothing here holds. */
  limit(limits: CellLimits): readonly string[]
  /** Pids in it now. */
  pids(part?: Part): readonly number[]
  empty(): boolean
  /** Kills everything in it, again and again until nothing is left. False when something still is after `timeout` milliseconds. */
  kill(timeout: number, part?: Part): Promise<boolean>
  /** Has the part `service` stand still. False where it does not after `timeout` milliseconds, or nothing here can do that. */
  freeze(timeout: number): Promise<boolean>
  /** Has it go on. */
  thaw(timeout: number): Promise<boolean>
  /** Calls back when the last process is gone (it may be called although some are left: look). Undefined where nothing tells. */
  watch(onChange: () => void): (() => void) | undefined
  /** Removes what was made for it, once it is empty. */
  remove(): void
}
