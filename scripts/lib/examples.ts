/** The definitions of docs/examples, as they are, or with other words in the place of their addresses and folders. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { projectRoot } from './lab.js'

const folder = join(projectRoot, 'docs/examples')

export function exampleFiles(): readonly string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
}

/** Everything in the file that is written as a key of `instead` becomes its value. */
export function readExample(file: string, instead: Readonly<Record<string, string>> = {}): unknown {
  const text = readFileSync(join(folder, file), 'utf8')
  return parse(Object.entries(instead).reduce((all, [from, to]) => all.replaceAll(from, to), text))
}
