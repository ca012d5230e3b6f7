/**
 * The rules of the house: who may import whom, and what the core may not touch.
 *
 *     floor 0  base            words; no I/O
 *     floor 1  core/raft, core/cluster
 *     floor 2  core/*          judgement; like floor 1 without I/O, clock, chance or waiting
 *     floor 3  io/*            one room per outside thing
 *     floor 4  node, guardian, monitor, agent-kit
 *     floor 5  api, cli, dashboard; cli and dashboard know only the HTTP API
 *     on top   main.ts
 *
 * A room is a folder; others come in by its door `index.ts`, from the same floor or from above. Tests and scripts may
 * go anywhere, and nothing in src knows them. jepsen-like is a black box and imports nothing of the rest, but for
 * jepsen-like/cluster, which makes nodes with scripts/lib; its checkers, core and judges know only themselves and each other.
 */
import { dirname, join, normalize } from 'node:path'
import { type Token, tokens } from './typescript-tokens.js'

export interface Violation {
  readonly path: string
  readonly line: number
  readonly text: string
}

interface Room {
  readonly name: string
  readonly floor: number
}

const floors: Readonly<Record<string, number>> = { base: 0, node: 4, guardian: 4, monitor: 4, 'agent-kit': 4, api: 5, cli: 5, dashboard: 5 }
const agreement = new Set(['core/raft', 'core/cluster'])
const faces = new Set(['cli', 'dashboard'])
/** Packages that are plain data structures or formats, by the floor's first folder. */
const purePackages: Readonly<Record<string, readonly string[]>> = { base: ['msgpackr'], core: ['sorted-btree'] }

/** Ways to the clock, to chance, to the world outside, and to what differs between machines. */
const impureNames = new Set(
  'Date setTimeout setInterval setImmediate queueMicrotask process performance crypto fetch console globalThis require Intl'.split(' '),
)
const impureMembers = new Set(
  'localeCompare toLocaleString toLocaleDateString toLocaleTimeString toLocaleLowerCase toLocaleUpperCase'.split(' '),
)

/** `files` maps paths from the root of the checkout to their text. Violations come in the order of paths and lines. */
export function checkLayout(files: ReadonlyMap<string, string>): readonly Violation[] {
  return [...files].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([path, text]) => checkFile(path, text))
}

function checkFile(path: string, text: string): readonly Violation[] {
  const found = tokens(text)
  const problems: Violation[] = []
  const report = (line: number, what: string) => problems.push({ path, line, text: what })

  const room = roomOf(path)
  if (path.startsWith('src/') && room === undefined) report(1, 'lies in a folder that has no floor: see the table in scripts/layout.ts')
  for (const { specifier, line } of imports(found)) {
    const problem = checkImport(path, room, specifier)
    if (problem !== undefined) report(line, `imports ${JSON.stringify(specifier)}: ${problem}`)
  }
  if (path.startsWith('src/core/')) {
    for (const { name, line } of impurities(found)) report(line, `uses ${name}: the core has no clock, no chance, no I/O and never waits`)
  }
  return problems.sort((a, b) => a.line - b.line)
}

function roomOf(path: string): Room | undefined {
  const [top, first, second] = path.split('/')
  if (top !== 'src' || first === undefined) return undefined
  if (second === undefined) return first === 'main.ts' || first === 'main.js' ? { name: 'main', floor: 6 } : undefined
  if (first === 'core' || first === 'io') {
    const name = `${first}/${second}`
    return { name, floor: first === 'io' ? 3 : agreement.has(name) ? 1 : 2 }
  }
  const floor = floors[first]
  return floor === undefined ? undefined : { name: first, floor }
}

/** What is wrong with the import; undefined when nothing is. */
function checkImport(path: string, from: Room | undefined, specifier: string): string | undefined {
  const isInside = specifier.startsWith('.')
  const top = path.split('/')[0]
  if (!isInside) return from === undefined ? undefined : checkPackage(path, specifier)

  const target = normalize(join(dirname(path), specifier))
  const targetTop = target.split('/')[0]
  if (top === 'jepsen-like') return checkBlackBox(path, target)
  if (top !== 'src') return undefined
  if (targetTop !== 'src') return `the program knows nothing of ${targetTop}/`

  const to = roomOf(target)
  if (from === undefined || to === undefined) return to === undefined ? 'there is no such room' : undefined
  if (from.name === to.name) return undefined
  if (faces.has(from.name) && to.name !== 'base' && !faces.has(to.name)) return `${from.name} knows only the HTTP API, and base`
  if (to.floor > from.floor) return `${from.name} is on floor ${from.floor}, ${to.name} above it on floor ${to.floor}`
  const door = `src/${to.name}/index.js`
  return target === door ? undefined : `${to.name} is entered by its door, ${door}`
}

/** Those who judge are told a history and nothing else. */
const judging = new Set(['checkers', 'core', 'judges'])

function checkBlackBox(path: string, target: string): string | undefined {
  const room = path.split('/')[1] as string
  const [targetTop, targetRoom] = target.split('/')
  if (targetTop !== 'jepsen-like') {
    if (room === 'cluster' && target.startsWith('scripts/lib/')) return undefined
    return 'jepsen-like is a black box and knows nothing of the rest'
  }
  return judging.has(room) && !judging.has(targetRoom as string) ? `${room} knows a history and nothing else` : undefined
}

function checkPackage(path: string, specifier: string): string | undefined {
  const allowed = purePackages[path.split('/')[1] as string]
  if (allowed === undefined || allowed.includes(specifier.split('/')[0] as string)) return undefined
  if (specifier.startsWith('node:')) return 'base and core have no I/O'
  return `of packages, only ${allowed.join(', ')} may be used here`
}

/** `import … from 'x'`, `export … from 'x'`, `import 'x'`, `import('x')`, also as types. */
function imports(found: readonly Token[]): readonly { readonly specifier: string; readonly line: number }[] {
  return found.flatMap((token, at) => {
    if (token.kind !== 'string') return []
    const before = found[at - 1]
    const beforeThat = found[at - 2]
    const isImport =
      (isName(before, 'from') && !isPunctuator(beforeThat, '.')) ||
      isName(before, 'import') ||
      (isPunctuator(before, '(') && (isName(beforeThat, 'import') || isName(beforeThat, 'require')))
    return isImport ? [{ specifier: token.text, line: token.line }] : []
  })
}

function impurities(found: readonly Token[]): readonly { readonly name: string; readonly line: number }[] {
  const own = new Set(found.filter((token, at) => isBinding(found, token, at)).map(({ text }) => text))
  return found.flatMap((token, at) => {
    if (token.kind !== 'name') return []
    const { text: name, line } = token
    const isMember = isPunctuator(found[at - 1], '.') || isPunctuator(found[at - 1], '?.')
    if (isMember) {
      if (impureMembers.has(name)) return [{ name, line }]
      return name === 'random' && isName(found[at - 2], 'Math') ? [{ name: 'Math.random', line }] : []
    }
    if (name === 'await' || name === 'async') return isKey(found, at) ? [] : [{ name, line }]
    return impureNames.has(name) && !own.has(name) && !isKey(found, at) ? [{ name, line }] : []
  })
}

/** A file may call something of its own `process`, as parameter, constant or shorthand; then the name is its own throughout. */
function isBinding(found: readonly Token[], token: Token, at: number): boolean {
  if (token.kind !== 'name' || !impureNames.has(token.text)) return false
  const before = found[at - 1]
  const after = found[at + 1]
  if (['const', 'let', 'function', 'class'].some((keyword) => isName(before, keyword))) return true
  const opens = isPunctuator(before, '(') || isPunctuator(before, ',')
  return (opens && isPunctuator(after, ':')) || isPunctuator(after, '=>')
}

/** The name of a field or method, in a type or an object: `process: …`, `process?: …`, `process(…): …` is left to the eye. */
function isKey(found: readonly Token[], at: number): boolean {
  const after = found[at + 1]
  const before = found[at - 1]
  const begins = before === undefined || ['{', ',', ';', '|', '('].some((text) => isPunctuator(before, text)) || isName(before, 'readonly')
  const onNewLine = before !== undefined && before.line < (found[at]?.line ?? 0)
  return (begins || onNewLine) && (isPunctuator(after, ':') || (isPunctuator(after, '?') && isPunctuator(found[at + 2], ':')))
}

function isName(token: Token | undefined, text: string): boolean {
  return token?.kind === 'name' && token.text === text
}

function isPunctuator(token: Token | undefined, text: string): boolean {
  return token?.kind === 'punctuator' && token.text === text
}
