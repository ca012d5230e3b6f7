/** What the service of a resource may use, set before its start. */
import type { MethodContext } from './method.js'

/** What an administrator should know of them; undefined when all hold. */
export function limitService(context: MethodContext): string | undefined {
  const { method, definition } = context.request
  const { openFiles, ...limits } = definition.limits ?? {} // Open files are each process's own, and need no cell.
  const isStart = method === 'start' || method === 'settle'
  if (!isStart || Object.keys(limits).length === 0) return undefined
  const missing = context.world.cell.limit(limits)
  return missing.length === 0 ? undefined : `not enforced here: ${missing.map((name) => `limits.${name}`).join(', ')}`
}
