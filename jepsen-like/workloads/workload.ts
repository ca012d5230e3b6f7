/** A workload: what its clients are to do, how they do it, and what must hold of what they saw. */
import type { Header } from '../checkers/index.js'
import type { ApiAnswer, Cluster } from '../cluster/index.js'
import type { Completion, Generator, Operation } from '../core/index.js'

export interface Client {
  /** Completes what is asked for before it is noted as invoked, such as the value that a compare-and-set expects. */
  prepare?(operation: Operation): Promise<Operation>
  perform(operation: Operation): Promise<Completion>
  close?(): void
}

export interface ClientOptions {
  readonly cluster: Cluster
  /** The node that this client asks. */
  readonly node: string
  readonly process: string
}

export interface Workload {
  readonly name: string
  readonly does: string
  /** Too much for a cluster with work to do unless it is named. */
  readonly onlyByName?: true
  /** Why it has nothing to do with this cluster; undefined where it has. */
  readonly lacks?: (cluster: Cluster) => string | undefined
  /** Clients; each asks one node, in turn. */
  readonly clients: (nodes: number) => number
  readonly generator: (seed: number, client: number) => Generator
  readonly open: (options: ClientOptions) => Client
  /** Of the operations in `model`, all must be linearizable. */
  readonly linearizable?: { readonly header: Header; readonly operations: ReadonlySet<string> }
  /** After the last fault, when all is well again, by one client. */
  readonly finally?: (done: readonly Operation[]) => readonly Operation[]
  /** What else is to be judged: names of judges. */
  readonly judges?: readonly string[]
}

export function codeOf(answer: ApiAnswer): string {
  if (answer.status === 0) return answer.unsent ? 'not sent' : 'no answer'
  return typeof answer.body.code === 'string' ? answer.body.code : String(answer.status)
}

/** A change: what is answered with an error was not done, unless the error says that nobody knows. */
export function changed(answer: ApiAnswer, value?: Completion['value']): Completion {
  if (answer.status >= 200 && answer.status < 300) return { type: 'ok', ...(value === undefined ? {} : { value }) }
  const error = codeOf(answer)
  const isUnknown =
    (answer.status === 0 && !answer.unsent) || error === 'UNKNOWN_OUTCOME' || (answer.status >= 500 && answer.status !== 503)
  return { type: isUnknown ? 'info' : 'fail', error }
}

/** A reading that did not succeed did nothing. */
export function unread(answer: ApiAnswer): Completion {
  return { type: 'fail', error: codeOf(answer) }
}
