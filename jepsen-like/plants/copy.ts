/** A copy of the compiled program with a mistake in it. */
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Change, Plant } from './plants.js'

/** Path of the copy's `main.js`, below `folder`. Throws where a text is not there exactly once. */
export function plantInto(folder: string, root: string, plant: Plant): string {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(join(folder, 'dist'), { recursive: true })
  cpSync(join(root, 'dist/src'), join(folder, 'dist/src'), { recursive: true, filter: (path) => !path.endsWith('.map') })
  cpSync(join(root, 'package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const change of plant.changes) {
    const path = join(folder, 'dist/src', change.file)
    writeFileSync(path, changed(readFileSync(path, 'utf8'), change))
  }
  return join(folder, 'dist/src/main.js')
}

export function changed(text: string, { file, from, to }: Change): string {
  const pattern = new RegExp(
    from
      .trim()
      .split(/\s+/)
      .map((word) => word.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&'))
      .join('\\s+'),
    'g',
  )
  const found = text.match(pattern)?.length ?? 0
  if (found !== 1) throw new Error(`${file} has the text ${found} times, and not once: ${from}`)
  return text.replace(pattern, () => to)
}
