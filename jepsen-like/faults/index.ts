/** Every kind of fault, and how those that are wanted are named. */

import { diskFaults } from './disk.js'
import type { Fault } from './fault.js'
import { networkFaults } from './network.js'
import { otherFaults } from './others.js'
import { processFaults } from './processes.js'

export type { Fault, Injected } from './fault.js'

export const faults: readonly Fault[] = [...processFaults, ...networkFaults, ...diskFaults, ...otherFaults]

/** By names and families, or `mixed` for all that need not be named, and `none`; the text of what is unknown. */
export function chooseFaults(words: readonly string[]): readonly Fault[] | string {
  const chosen = new Set<Fault>()
  for (const word of words) {
    if (word === 'none') continue
    const found = faults.filter(
      ({ name, family, onlyByName = false }) => name === word || (!onlyByName && (word === 'mixed' || family === word)),
    )
    if (found.length === 0) return word
    for (const fault of found) chosen.add(fault)
  }
  return [...chosen]
}
