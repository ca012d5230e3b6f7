/** What agents noted down for this boot of the node. In memory, and beside it in the run folder: the next monitor knows it too. */
import type { BootId, GroupName, ResourceName } from '../base/index.js'
import type { Scored } from '../core/monitor/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export interface Attributes {
  get(name: string): string | undefined
  /** False when there are too many. */
  set(name: string, value: string): boolean
  delete(name: string): void
  /** What agents have said of copies that could be the primary, and when they say it anew. */
  readonly scores: readonly Scored[]
  score(group: string, resource: string, score: number | undefined): void
  forgetScores(group: string): void
}

const scoreKey = (group: string, resource: string) => `score/${group}/${resource}`

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
    scores: [...values].flatMap(([name, value]) => {
      const [kind, group, resource] = name.split('/')
      return kind === 'score' ? [{ group: group as GroupName, resource: resource as ResourceName, score: Number(value) }] : []
    }),
    forgetScores: (group) => {
      const gone = [...values.keys()].filter((name) => name.startsWith(scoreKey(group, '')))
      for (const name of gone) values.delete(name)
      if (gone.length > 0) write()
    },
    score: (group, resource, score) => {
      if (score === undefined) values.delete(scoreKey(group, resource))
      else values.set(scoreKey(group, resource), String(score))
      write()
    },
  }
}
