/** What the client program is asked to do, and what it answers. */

export type Protocol = 'quorate' | 'etcd-http' | 'etcd-grpc'
export type Operation = 'put' | 'read' | 'local-read' | 'transaction'

export interface Work {
  readonly protocol: Protocol
  readonly operation: Operation
  /** `host:port`; clients are dealt out over them in turn. */
  readonly targets: readonly string[]
  /** Each has one request on its way at a time. */
  readonly clients: number
  readonly warmUpMs: number
  readonly measureMs: number
  readonly valueBytes: number
  /** How many different keys are used. */
  readonly keys: number
  /** In one transaction. */
  readonly operations: number
}

/** Of one run, in milliseconds where not said otherwise. */
export interface Measured {
  /** Requests that were answered well within the measured time. */
  readonly requests: number
  readonly errors: number
  readonly seconds: number
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly max: number
}

export type ClientReport = { readonly kind: 'begin' } | { readonly kind: 'end'; readonly measured: Measured }

/** The key of a number: the same for every protocol. */
export const keyOf = (number: number): string => `bench/key-${String(number).padStart(8, '0')}`
