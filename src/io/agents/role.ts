/** The primary role of a copy: to start it is to promote, to stop it to demote, to probe it to ask which role the copy has. */
import type { MethodRequest, MethodResult } from '../../core/monitor/index.js'
import { runCommandRole, settleStart } from './commands.js'
import type { MethodContext } from './method.js'
import { runOcfRole } from './ocf.js'

export async function runRole(context: MethodContext, method: Exclude<MethodRequest['method'], 'migrate'>): Promise<MethodResult> {
  if (method === 'settle') return settleStart(context)
  // What its copy was changed to is the copy's to take on.
  if (method === 'reload') return { outcome: 'done' }
  return context.request.definition.type === 'command' ? runCommandRole(context, method) : runOcfRole(context, method)
}
