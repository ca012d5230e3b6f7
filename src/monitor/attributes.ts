/** What agents noted down for this boot of the node. In memory, and beside it in the run folder: the next monitor knows it too. */
import type { BootId } from '../base/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export interface Attributes {
  get(name: string): string | undefined
  /** False when there are too many. */
  set(name: string, value: string): boolean
  delete(name: string): void
}

const attributesMax = 1_000

export function openAttributes(runFolder: RunFolder, boot: BootId): Attributes {
  const values = new Map(Object.entries(runFolder.readAttributes(boot)))
  const write = () => runFolder.writeAttributes(boot, Object.fromEntries(values))
  return {
    get: (name) => values.get(name),
    set: (name, value) => {
      if (values.get(name) === value) return true
      if (!values.has(name) && values.size >= attributesMax) return false
      values.set(name, value)
      write()
      return true
    },
    delete: (name) => {
      if (values.delete(name)) write()
    },
  }
}
