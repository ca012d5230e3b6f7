/** When a kept process is ready: its port, its log, its file. What is given must all hold. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { LogFollower } from '../processes/index.js'
import { tryConnect } from './connect.js'
import type { MethodContext } from './method.js'

/** Undefined when it holds, else what is missing. */
type Condition = () => Promise<string | undefined> | string | undefined

/** An expression that needs longer for a piece of the log would hold up everything else. Milliseconds. */
const searchMax = 100
/** Longest part of a line that is searched. */
const lineMax = 65_536

/** Where the service leaves the file; undefined unless it is waited for. */
export function readyFileOf(context: MethodContext): string | undefined {
  const { group, resource, definition } = context.request
  if (definition.parameters.readyFile !== true) return undefined
  return join(context.world.runFolder.folder('ready', group, resource), 'ready')
}

/** Before the spawn. `logFrom` is where its own words will begin in the log; a successor of this process needs to know it too. */
export function prepareReadiness(context: MethodContext, logFrom: number) {
  const file = readyFileOf(context)
  if (file !== undefined) rmSync(file, { recursive: true, force: true })
  if (context.request.definition.parameters.readyLog !== undefined) writeFileSync(placeOfLogStart(context), String(logFrom))
}

/** In this order: cheap ones first. Empty when nothing is to be waited for. */
export function readinessOf(context: MethodContext): readonly Condition[] {
  const { readyPort, readyHost, readyLog } = context.request.definition.parameters
  const file = readyFileOf(context)
  return [
    ...(readyLog === undefined ? [] : [logCondition(context, String(readyLog))]),
    ...(file === undefined ? [] : [() => (existsSync(file) ? undefined : 'it has not made its ready file')]),
    ...(readyPort === undefined
      ? []
      : [() => tryConnect(String(readyHost ?? '127.0.0.1'), Number(readyPort), Math.min(1_000, context.remaining()), context.signal)]),
  ]
}

/** Holds from the first line on that fits. */
function logCondition(context: MethodContext, expression: string): Condition {
  const follower = new LogFollower(context.world.log, readLogStart(context))
  let found = false
  let begun = ''
  return () => {
    const more = found ? '' : follower.next()
    if (more !== '') {
      const text = begun + more
      found = search(expression, text)
      begun = text.slice(text.lastIndexOf('\n') + 1).slice(-lineMax)
    }
    return found ? undefined : `no line of its log fits ${expression}`
  }
}

/** In a context of its own, because only there a search can be broken off. */
function search(expression: string, text: string): boolean {
  try {
    return runInNewContext('new RegExp(expression, "m").test(text)', { expression, text }, { timeout: searchMax }) === true
  } catch {
    return false
  }
}

function placeOfLogStart({ request, world }: MethodContext): string {
  return join(world.runFolder.folder('log-starts', request.group), request.resource)
}

function readLogStart(context: MethodContext): number {
  try {
    return Number(readFileSync(placeOfLogStart(context), 'utf8')) || 0
  } catch {
    return 0
  }
}
