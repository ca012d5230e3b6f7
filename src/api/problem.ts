/** Errors as RFC 9457 problem details: what is wrong, and what to do next. */
import type { FastifyReply } from 'fastify'
import { type ClusterError, type ErrorCode, errorTable, fromPlain } from '../base/index.js'
import type { CommandResult } from '../core/cluster/index.js'

export function sendProblem(reply: FastifyReply, error: ClusterError, instance: string): FastifyReply {
  const { httpStatus, text } = errorTable[error.code]
  const problem = {
    type: `urn:quorate:error:${error.code}`,
    title: text,
    status: httpStatus,
    code: error.code,
    detail: error.message,
    ...(error.fix === undefined ? {} : { fix: error.fix }),
    ...(Object.keys(error.facts).length === 0 ? {} : { facts: error.facts }),
    instance,
  }
  return reply
    .code(httpStatus)
    .type('application/problem+json')
    .send(`${JSON.stringify(problem)}\n`)
}

/** The value of a command that was carried out. Throws the error of one that the state machine refused. */
export function valueOf(result: CommandResult): { readonly [key: string]: unknown } {
  if (result.ok) return result.value
  const { code } = result.error
  throw fromPlain({ ...result.error, code: code in errorTable ? (code as ErrorCode) : 'INTERNAL' })
}
