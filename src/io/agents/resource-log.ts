/** What resources leave in the log folder: what the service writes, and what its agent's actions said. */
import { appendFile, type FileHandle, open, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isGroupName, isName } from '../../base/index.js'
import type { MethodRequest } from '../../core/monitor/index.js'
import { type ActionOutcome, tailOf } from '../processes/index.js'
import { cellName } from './environment.js'

type Named = Pick<MethodRequest, 'group' | 'resource' | 'cellOf'>

export interface ResourceLog {
  /** The last lines of the service and its starts, oldest first. */
  readonly service: readonly string[]
  /** Of its stops, and of its probes that were bad. */
  readonly actions: readonly string[]
}

export const logLinesMax = 1_000
/** Of each of the two, so that the answer fits into any frame. */
const readMax = 131_072
const saidMax = 4_096
const actionsLogMax = 1_048_576
const waitingMax = 100

export const serviceLogPath = (folder: string, named: Named) => join(folder, `${cellName(named)}.log`)
/** A name cannot hold an `@`: this is nobody's service log. */
export const actionsLogPath = (folder: string, named: Named) => join(folder, `${cellName(named)}@actions.log`)

/** The one that is being written, and those that wait for it. A disk that hangs must hold up no stop, so nobody waits for these. */
let written: Promise<unknown> = Promise.resolve()
let waiting = 0

export function appendToActionsLog(path: string, { method, deep }: MethodRequest, outcome: ActionOutcome) {
  if (waiting >= waitingMax) return
  const said = tailOf(`${outcome.stdout}\n${outcome.stderr}`, saidMax)
  const how =
    outcome.kind !== 'exited' ? outcome.kind : outcome.code === undefined ? `killed by ${outcome.signal}` : `status ${outcome.code}`
  const lines = [
    `${method}${deep !== undefined ? ' (deep)' : ''}: ${how} after ${outcome.elapsedMs} ms`,
    ...(said === '' ? [] : said.split('\n')),
  ]
  const at = new Date().toISOString()
  waiting++
  written = written
    .then(() => append(path, lines.map((line) => `${at} ${line}\n`).join('')))
    .catch(() => {}) // A full disk is no reason for a stop to fail.
    .finally(() => waiting--)
}

async function append(path: string, text: string) {
  await appendFile(path, text, { mode: 0o640 })
  if ((await stat(path)).size > actionsLogMax) await rename(path, `${path}.1`)
}

/** The last lines of a resource on this node; undefined when nothing of it was ever written here. */
export async function readResourceLog(folder: string, named: Named, lines: number): Promise<ResourceLog | undefined> {
  if (!isGroupName(named.group) || !isName(named.resource)) return undefined
  const service = await lastLines(serviceLogPath(folder, named), lines)
  const actions = await lastLines(actionsLogPath(folder, named), lines)
  return service === undefined && actions === undefined ? undefined : { service: service ?? [], actions: actions ?? [] }
}

/** With the older part, when the newer one has too few and was read whole. */
async function lastLines(path: string, count: number): Promise<readonly string[] | undefined> {
  const newer = await lastText(path, readMax)
  const lines = linesOf(newer?.text ?? '')
  if (lines.length >= count || newer?.whole === false) return lines.slice(-count)
  const older = await lastText(`${path}.1`, readMax - (newer?.text ?? '').length)
  return newer === undefined && older === undefined ? undefined : [...linesOf(older?.text ?? ''), ...lines].slice(-count)
}

function linesOf(text: string): readonly string[] {
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  return lines
}

/** The end of a file; undefined when there is none. */
async function lastText(path: string, max: number): Promise<{ readonly text: string; readonly whole: boolean } | undefined> {
  let file: FileHandle
  try {
    file = await open(path)
  } catch {
    return undefined
  }
  try {
    const { size } = await file.stat()
    const from = Math.max(0, size - max)
    const { buffer, bytesRead } = await file.read(new Uint8Array(size - from), 0, size - from, from)
    const text = new TextDecoder().decode(buffer.subarray(0, bytesRead))
    // What is cut off begins with half a line.
    return from === 0 ? { text, whole: true } : { text: text.slice(text.indexOf('\n') + 1), whole: false }
  } finally {
    await file.close()
  }
}
