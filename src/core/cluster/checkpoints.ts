/**
 * What a running copy leaves for the next one, under the token of its own grant: checkpoints, and files that are carried along.
 *
 * What is too large for one entry comes in parts first; the entry that names them all puts them in force at once. Parts that nothing
 * names are taken away with the next ones of that name.
 */
import { type GroupName, isName, type Token } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { carriedLevel, levelInForce } from './features.js'
import { type HeldGroup, mayStillRun } from './orders.js'
import type { CheckpointPartRow, CheckpointRow } from './rows.js'
import type { Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** Bytes of one checkpoint. */
export const checkpointMax = 1_048_576
/** Bytes of one file that is carried along. */
export const carriedFileMax = 4 * 1_048_576
/** Bytes of all that a group leaves, files and checkpoints together. */
export const carriedOfGroupMax = 16 * 1_048_576
/** Bytes of one part, before they are written as base64. */
export const partBytes = 48_000

const partTextMax = 65_536
const partsMax = Math.ceil(carriedFileMax / partBytes)
/** Told with the decision of a grant; more are counted only. */
const toldMax = 20

type Value = Readonly<Record<string, unknown>>

/** Names of files are no names that a person could give: see `fileKey`. */
const isKey = (name: string) => isName(name) || /^file@[\w.-]{1,63}@[\w-]{1,64}$/.test(name)

/** Where the state has a file of a resource: `sum` tells its path from others. */
export const fileKey = (resource: string, sum: string) => `file@${resource}@${sum}`

/** Only the holder may leave anything, and only under its present token. */
export function putCheckpoint(context: Context, command: CommandOf<'put-checkpoint'>): Value {
  const { name, value, token, parts } = command
  const group = holderOf(context, command)
  const key = `${group.name}/${name}`
  const before = context.draft.get('checkpoints', key)
  if (!isKey(name)) refuse('INVALID_NAME', `"${name.slice(0, 80)}" cannot name a checkpoint`)
  if (command.keep === true) return keep(context, group, key, before, token)
  if (command.problem !== undefined) return noteProblem(context, group, command, key, before)
  const max = command.file !== undefined ? carriedFileMax : parts !== undefined ? checkpointMax : context.settings.storeValueMax
  const size = command.size ?? value.length
  if (size > max) refuse('TOO_LARGE', `the checkpoint has ${size} bytes`, { fix: `keep to ${max} bytes` })
  const others = levelInForce(context.draft) < carriedLevel ? 0 : bytesOf(context.draft, group.name, name)
  if (parts !== undefined && parts.count > partsMax) refuse('TOO_LARGE', `the checkpoint has ${parts.count} parts`)
  if (others + size > carriedOfGroupMax)
    refuse('TOO_LARGE', `the group leaves ${others + size} bytes with this`, { fix: `keep to ${carriedOfGroupMax} bytes for all of it` })
  if (parts !== undefined)
    for (let part = 0; part < parts.count; part++)
      if (context.draft.get('checkpointParts', partKey(group.name, parts.upload, part)) === undefined)
        refuse('CONFLICT', `part ${part} of the checkpoint is not there`, { fix: 'leave it again, from its beginning' })
  removeParts(context, group.name, (row) => row.name === name && row.upload !== parts?.upload)
  const { file, size: given, sum } = command
  context.draft.put('checkpoints', key, {
    group: group.name,
    name,
    value,
    token,
    node: group.holder.node,
    at: context.at,
    wall: context.wall,
    revision: context.index,
    ...(parts === undefined ? {} : { parts }),
    ...(given === undefined ? {} : { size: given }),
    ...(sum === undefined ? {} : { sum }),
    ...(file === undefined ? {} : { file }),
  })
  return { revision: context.index }
}

/** What it left before still holds: it is this copy's from now on. Its age stays. */
function keep(context: Context, group: HeldGroup, key: string, before: CheckpointRow | undefined, token: Token): Value {
  if (before === undefined) refuse('CHECKPOINT_NOT_FOUND', 'there is nothing that could be kept')
  const { problem: _, ...row } = before
  context.draft.put('checkpoints', key, { ...row, token, node: group.holder.node, revision: context.index })
  return { revision: context.index }
}

/** A file cannot be carried for now. What was carried of it last stays. */
function noteProblem(
  context: Context,
  group: HeldGroup,
  { name, token, file, problem = '' }: CommandOf<'put-checkpoint'>,
  key: string,
  before: CheckpointRow | undefined,
): Value {
  if (before?.problem === problem) return { revision: before.revision }
  const empty = { group: group.name, name, value: '', token, node: group.holder.node, at: context.at, wall: context.wall }
  context.draft.put('checkpoints', key, {
    ...empty,
    ...before,
    ...(file === undefined || before?.file !== undefined ? {} : { file }),
    problem: problem.slice(0, 300),
    revision: context.index,
  })
  context.event('group.file', group.name, `${file?.path ?? name} of ${group.name} is not carried along: ${problem.slice(0, 300)}`, {})
  return { revision: context.index }
}

export function putCheckpointPart(context: Context, command: CommandOf<'put-checkpoint-part'>): Value {
  const { name, upload, part, value } = command
  const group = holderOf(context, command)
  if (!isKey(name) || !/^[\w-]{1,64}$/.test(upload)) refuse('INVALID_NAME', `"${name.slice(0, 80)}" cannot name a checkpoint`)
  if (!Number.isSafeInteger(part) || part < 0 || part >= partsMax || value.length > partTextMax)
    refuse('TOO_LARGE', `part ${part} of ${value.length} characters is not taken`, { fix: `keep to ${carriedFileMax} bytes` })
  const named = context.draft.get('checkpoints', `${group.name}/${name}`)?.parts?.upload
  // What was begun and never ended.
  if (part === 0) removeParts(context, group.name, (row) => row.name === name && row.upload !== named && row.upload !== upload)
  let waiting = 0
  for (const row of partsOfGroup(context.draft, group.name)) waiting += row.value.length
  if (waiting + value.length > 3 * carriedOfGroupMax)
    refuse('TOO_LARGE', 'too much of the group is under way at once', { fix: 'leave one after the other' })
  const row: CheckpointPartRow = { group: group.name, name, upload, part, value }
  context.draft.put('checkpointParts', partKey(group.name, upload, part), row)
  return { revision: context.index }
}

/** The base64 texts of a checkpoint in parts, in order; undefined where it has none, or one of them is missing. */
export function partsOf(reader: Reader, row: CheckpointRow): readonly string[] | undefined {
  if (row.parts === undefined) return undefined
  const texts: string[] = []
  for (let part = 0; part < row.parts.count; part++) {
    const found = reader.get('checkpointParts', partKey(row.group, row.parts.upload, part))
    if (found === undefined) return undefined
    texts.push(found.value)
  }
  return texts
}

export function checkpointsOf(reader: Reader, group: GroupName): readonly CheckpointRow[] {
  const found: CheckpointRow[] = []
  for (const [key, row] of reader.rows('checkpoints', `${group}/`)) {
    if (!key.startsWith(`${group}/`)) break
    found.push(row)
  }
  return found
}

export function forgetCheckpoints(context: Context, group: GroupName): void {
  for (const { name } of checkpointsOf(context.draft, group)) context.draft.delete('checkpoints', `${group}/${name}`)
  removeParts(context, group, () => true)
}

/** How old what the next copy begins with is, at the moment of its grant. Milliseconds. */
export function agesOf(reader: Reader, group: GroupName, at: number): readonly { readonly name: string; readonly ageMs: number }[] {
  return checkpointsOf(reader, group)
    .slice(0, toldMax)
    .map(({ name, file, at: left }) => ({ name: file === undefined ? name : file.path, ageMs: Math.max(0, at - left) }))
}

function holderOf(context: Context, { group: name, token }: { readonly group: GroupName; readonly token: Token }): HeldGroup {
  const group = context.group(name)
  if (!mayStillRun(group) || group.holder.token !== token) {
    refuse('STALE_TOKEN', `token ${token} is not the present grant of ${group.name}`, {
      fix: 'only the running copy may write: use QUORATE_GRANT_TOKEN of its own start',
    })
  }
  return group
}

function bytesOf(reader: Reader, group: GroupName, without: string): number {
  return checkpointsOf(reader, group).reduce((sum, row) => sum + (row.name === without ? 0 : (row.size ?? row.value.length)), 0)
}

const partKey = (group: GroupName, upload: string, part: number) => `${group}/${upload}/${String(part).padStart(4, '0')}`

function* partsOfGroup(reader: Reader, group: GroupName): Iterable<CheckpointPartRow> {
  for (const [key, row] of reader.rows('checkpointParts', `${group}/`)) {
    if (!key.startsWith(`${group}/`)) return
    yield row
  }
}

function removeParts(context: Context, group: GroupName, which: (row: CheckpointPartRow) => boolean) {
  for (const row of [...partsOfGroup(context.draft, group)])
    if (which(row)) context.draft.delete('checkpointParts', partKey(group, row.upload, row.part))
}

const pathMax = 1_024
const filesMax = 32
/** What is the kernel's, or the cluster software's own. */
const forbidden = ['/proc', '/sys', '/dev', '/boot', '/etc/quorate', '/run/quorate', '/var/lib/quorate']

/** What is wrong with a path that is to be carried along; undefined where nothing is. */
export function filePathProblem(path: string): string | undefined {
  if (!path.startsWith('/') || path.length > pathMax || path.includes('\0')) return 'must be an absolute path of up to 1024 characters'
  if (
    path.endsWith('/') ||
    path
      .split('/')
      .slice(1)
      .some((part) => part === '' || part === '.' || part === '..')
  )
    return 'must be written without "//", "/./", "/../" and a "/" at its end'
  const within = forbidden.find((folder) => path === folder || path.startsWith(`${folder}/`))
  return within === undefined ? undefined : `lies in ${within}, and nothing there is carried along`
}

export function filesProblem(files: readonly string[]): string | undefined {
  if (files.length > filesMax) return `there are ${files.length} files: keep to ${filesMax}`
  const twice = files.find((path, at) => files.indexOf(path) !== at)
  if (twice !== undefined) return `${twice} is listed twice`
  for (const path of files) {
    const problem = filePathProblem(path)
    if (problem !== undefined) return `${path} ${problem}`
  }
  return undefined
}
