/**
 * What agents noted down of this node until its next boot. In memory, and beside it in the run folder: the next monitor knows it
 * too. What is noted down here counts here at once, quorum or not, and is to be known on every node soon after; what agents of
 * other nodes note down of this one comes from the log.
 */
import { type BootId, type GroupName, type ResourceName, wholeOf } from '../base/index.js'
import { notesMax } from '../core/cluster/index.js'
import { type Scored, scoreOfNote } from '../core/monitor/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

/** The name of what has changed, and what it is now. */
export interface Note {
  readonly name: string
  readonly value: string | undefined
}

export interface Attributes {
  get(name: string): string | undefined
  /** False when there are too many. */
  set(name: string, value: string): boolean
  delete(name: string): void
  /** What was noted down here and is not in the log yet. */
  unsent(): readonly Note[]
  /** These are in the log at that place: what was changed again meanwhile is not. */
  sent(notes: readonly Note[], place: number): void
  /** Takes over what the log has, but for what is not in it yet; what that changed. An older `place` than before changes nothing. */
  take(place: number, logged: Readonly<Record<string, string>>): readonly Note[]
  /** What agents have said of copies that could be the primary, and when they say it anew. */
  readonly scores: readonly Scored[]
  score(group: string, resource: string, score: number | undefined): void
  forgetScores(group: string): void
}

// In the run folder, beside the notes; a note has one slash at most, and that is that of a score.
const scoreKey = (group: string, resource: string) => `score/${group}/${resource}`
const unsentKey = (name: string) => `unsent/-/${name}`
const placeKey = 'place/-/-'

export function openAttributes(runFolder: RunFolder, boot: BootId): Attributes {
  const kept = Object.entries(runFolder.readAttributes(boot))
  const notes = new Map(kept.filter(([key]) => key.split('/').length < 3))
  const scores = new Map(kept.filter(([key]) => key.startsWith('score/')))
  let place = Number(Object.fromEntries(kept)[placeKey] ?? -1)
  // A monitor of an earlier version has sent nothing.
  const unsent = new Set(
    place < 0 ? notes.keys() : kept.flatMap(([key]) => (key.startsWith(unsentKey('')) ? [key.slice(unsentKey('').length)] : [])),
  )

  const write = () =>
    runFolder.writeAttributes(boot, {
      ...Object.fromEntries(notes),
      ...Object.fromEntries(scores),
      ...Object.fromEntries([...unsent].map((name) => [unsentKey(name), ''])),
      [placeKey]: String(Math.max(0, place)),
    })
  const put = ({ name, value }: Note) => {
    if (value === undefined) notes.delete(name)
    else notes.set(name, value)
  }
  const change = (note: Note) => {
    put(note)
    unsent.add(note.name)
    write()
  }
  return {
    get: (name) => notes.get(name),
    set: (name, value) => {
      if (notes.get(name) === value) return true
      if (!notes.has(name) && notes.size >= notesMax) return false
      change({ name, value })
      return true
    },
    delete: (name) => {
      if (notes.has(name)) change({ name, value: undefined })
    },
    unsent: () => [...unsent].map((name) => ({ name, value: notes.get(name) })),
    sent: (told, at) => {
      place = Math.max(place, at)
      for (const { name, value } of told) if (notes.get(name) === value) unsent.delete(name)
      write()
    },
    take: (at, logged) => {
      if (at < place) return []
      place = at
      const names = new Set([...notes.keys(), ...Object.keys(logged)])
      const changed = [...names]
        .filter((name) => !unsent.has(name) && notes.get(name) !== logged[name])
        .map((name) => ({ name, value: logged[name] }))
      for (const note of changed) put(note)
      if (changed.length > 0) write()
      return changed
    },
    scores: [...scores].map(([key, value]) => {
      const [, group, resource] = key.split('/')
      return { group: group as GroupName, resource: resource as ResourceName, score: Number(value) }
    }),
    forgetScores: (group) => {
      const gone = [...scores.keys()].filter((key) => key.startsWith(scoreKey(group, '')))
      for (const key of gone) scores.delete(key)
      // What was noted down of them is of that life of the copy too.
      const noted = [...notes.keys()].filter((name) => scoreOfNote(name)?.of === wholeOf(group))
      for (const name of noted) {
        notes.delete(name)
        unsent.add(name)
      }
      if (gone.length + noted.length > 0) write()
    },
    score: (group, resource, score) => {
      if (score === undefined) scores.delete(scoreKey(group, resource))
      else scores.set(scoreKey(group, resource), String(score))
      write()
    },
  }
}
