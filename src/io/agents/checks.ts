/** Types that only look: no process of their own. They start when the check first succeeds, and stop by not being asked any more. */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { parseDuration } from '../../base/index.js'
import type { ParameterValue } from '../../core/cluster/index.js'
import { type MethodResult, parseTarget } from '../../core/monitor/index.js'
import { pause } from '../processes/index.js'
import { tryConnect } from './connect.js'
import { look } from './looks.js'
import type { MethodContext } from './method.js'

const attemptTimeout = 2_000
const startEvery = 50
/** Only the beginning of a body is searched. */
const bodyMax = 1_048_576

export async function startCheck(context: MethodContext): Promise<MethodResult> {
  for (;;) {
    const problem = await check(context)
    if (problem === undefined) return { outcome: 'done' }
    if (context.signal.aborted) return { outcome: 'cancelled' }
    await pause(Math.min(startEvery, context.remaining()))
    // An attempt that has no time says nothing.
    if (context.remaining() < startEvery) return { outcome: 'timed-out', detail: `it never succeeded: ${problem}` }
  }
}

export async function probeCheck(context: MethodContext): Promise<MethodResult> {
  const problem = await check(context)
  if (context.signal.aborted) return { outcome: 'cancelled' }
  return problem === undefined ? { outcome: 'running' } : { outcome: 'failed', detail: problem }
}

/** Undefined when all is well. */
function check(context: MethodContext): Promise<string | undefined> {
  const { type, parameters } = context.request.definition
  const own = parameters.timeout === undefined ? attemptTimeout : parseDuration(parameters.timeout as string | number)
  const timeout = Math.max(1, Math.min(own, context.remaining()))
  switch (type) {
    case 'tcp':
      return tryConnect(String(parameters.host), Number(parameters.port), timeout, context.signal)
    case 'http':
      return tryHttp(parameters, timeout, context.signal)
    case 'reachability':
      return reach(parameters, timeout, context.signal)
    default:
      return withinTime(look(type, parameters), context.remaining())
  }
}

/** A file system that hangs must not hold the check past its time. */
async function withinTime(answer: Promise<string | undefined>, timeout: number): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`no answer within ${Math.round(timeout)} ms`), timeout)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}

/** All are asked at once. */
async function reach(
  parameters: { readonly [name: string]: ParameterValue },
  timeout: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const targets = (parameters.targets as readonly string[]).flatMap((target) => parseTarget(target) ?? [])
  const answers = await Promise.all(targets.map(({ host, port }) => tryConnect(host, port, timeout, signal)))
  const problems = answers.filter((answer) => answer !== undefined)
  const reached = answers.length - problems.length
  const wanted = Number(parameters.atLeast ?? 1)
  return reached >= wanted
    ? undefined
    : `${reached} of ${targets.length} accept connections, ${wanted} should: ${problems.slice(0, 3).join('; ')}`
}

function tryHttp(
  parameters: { readonly [name: string]: ParameterValue },
  timeout: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const url = String(parameters.url)
  return new Promise((resolve) => {
    const ask = url.startsWith('https:') ? httpsRequest : httpRequest
    let request: ReturnType<typeof httpRequest>
    try {
      request = ask(url, { agent: false, signal, headers: { 'user-agent': 'quorate-check' } })
    } catch (error) {
      return resolve(`${url}: ${(error as Error).message}`)
    }
    const timer = setTimeout(() => request.destroy(new Error(`no answer within ${timeout} ms`)), timeout)
    request.once('error', (error) => finish(`${url}: ${error.message}`))
    request.once('response', (response) => {
      const status = response.statusCode ?? 0
      const wanted = parameters.status
      if (wanted === undefined ? status < 200 || status > 399 : status !== wanted) return finish(`${url} answered ${status}`)
      if (parameters.contains === undefined) return finish(undefined)
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        if (body.length < bodyMax) body += chunk
      })
      response.once('end', () =>
        finish(body.includes(String(parameters.contains)) ? undefined : `${url} does not contain the text it should`),
      )
      response.once('error', (error) => finish(`${url}: ${error.message}`))
    })
    request.end()

    function finish(problem: string | undefined) {
      clearTimeout(timer)
      request.destroy()
      resolve(problem)
    }
  })
}
