/**
 * The client program, the same for all systems, in a process of its own: closed-loop clients on connections that stay open.
 *
 * Usage: node client.js WORK (JSON, see `work.ts`), with an IPC channel. Says when it begins to measure and when it ends.
 */
import { GrpcConnection, putRequest, rangeRequest, transactionRequest } from './grpc-connection.js'
import { HttpConnection } from './http-connection.js'
import { type ClientReport, keyOf, type Measured, type Work } from './work.js'

type Ask = (done: (ok: boolean) => void) => void

const work = JSON.parse(process.argv[2] ?? '') as Work
/** Clients that share one gRPC connection: its streams are what gRPC is good at. Transactions fill a window of 64 KiB alone. */
const clientsPerGrpcConnection = work.operation === 'transaction' ? 1 : 16
const value = Array.from({ length: work.valueBytes }, (_, at) => String.fromCharCode(97 + ((at * 7 + (at >> 3)) % 26))).join('')
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const base64Value = base64(value)
let nextKey = Math.floor(Math.random() * work.keys)
const freshKey = (): string => {
  nextKey = (nextKey + 7_919) % work.keys // A prime stride: every key, in no order that a cache could love.
  return keyOf(nextKey)
}
const freshKeys = (): readonly string[] => Array.from({ length: work.operations }, freshKey)

/** gRPC connections, by target and number. */
const shared = new Map<string, { readonly connection: GrpcConnection; readonly opened: Promise<void> }>()

const asks = await Promise.all(Array.from({ length: work.clients }, (_, at) => open(at)))
const latencies: number[] = []
let errors = 0
let measuring = false
let over = false
for (const ask of asks) loop(ask)
setTimeout(begin, work.warmUpMs)

function begin(): void {
  const began = performance.now()
  measuring = true
  report({ kind: 'begin' })
  setTimeout(() => {
    measuring = false
    over = true
    const measured = figures((performance.now() - began) / 1_000)
    process.send?.({ kind: 'end', measured } satisfies ClientReport, () => process.exit(0))
  }, work.measureMs)
}

function loop(ask: Ask): void {
  if (over) return
  const sent = performance.now()
  ask((ok) => {
    if (measuring && !ok) errors++
    if (measuring && ok) latencies.push(performance.now() - sent)
    if (ok) loop(ask)
    else setTimeout(() => loop(ask), 10)
  })
}

function figures(seconds: number): Measured {
  const sorted = Float64Array.from(latencies).sort()
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return { requests: sorted.length, errors, seconds, p50: at(0.5), p99: at(0.99), p999: at(0.999), max: sorted.at(-1) ?? 0 }
}

function report(message: ClientReport): void {
  process.send?.(message)
}

/** A connected client. */
function open(at: number): Promise<Ask> {
  const target = work.targets[at % work.targets.length] as string
  return work.protocol === 'etcd-grpc' ? openGrpc(at, target) : openHttp(target)
}

function openHttp(target: string): Promise<Ask> {
  return new Promise((resolve) => {
    const connection = new HttpConnection(target, () => {
      resolve((done) => {
        const [method, path, body] = httpRequest()
        connection.ask(method, path, body, (status) => done(status === 200))
      })
    })
  })
}

function httpRequest(): readonly [method: string, path: string, body: string] {
  if (work.protocol === 'quorate') {
    switch (work.operation) {
      case 'put':
        return ['PUT', `/v1/store/${freshKey()}`, `{"value":"${value}"}`]
      case 'read':
        return ['GET', `/v1/store/${freshKey()}`, '']
      case 'local-read':
        return ['GET', `/v1/store/${freshKey()}?consistency=local`, '']
      case 'transaction':
        return [
          'POST',
          '/v1/store',
          `{"operations":[${freshKeys()
            .map((key) => `{"kind":"put","key":"${key}","value":"${value}"}`)
            .join()}]}`,
        ]
    }
  }
  switch (work.operation) {
    case 'put':
      return ['POST', '/v3/kv/put', `{"key":"${base64(freshKey())}","value":"${base64Value}"}`]
    case 'read':
      return ['POST', '/v3/kv/range', `{"key":"${base64(freshKey())}"}`]
    case 'local-read':
      return ['POST', '/v3/kv/range', `{"key":"${base64(freshKey())}","serializable":true}`]
    case 'transaction':
      return [
        'POST',
        '/v3/kv/txn',
        `{"success":[${freshKeys()
          .map((key) => `{"requestPut":{"key":"${base64(key)}","value":"${base64Value}"}}`)
          .join()}]}`,
      ]
  }
}

async function openGrpc(at: number, target: string): Promise<Ask> {
  const name = `${target} ${Math.floor(at / work.targets.length / clientsPerGrpcConnection)}`
  let one = shared.get(name)
  if (one === undefined) {
    let onOpen: () => void = () => undefined
    const opened = new Promise<void>((resolve) => {
      onOpen = resolve
    })
    const method = { put: 'Put', read: 'Range', 'local-read': 'Range', transaction: 'Txn' }[work.operation]
    one = { connection: new GrpcConnection(target, `/etcdserverpb.KV/${method}`, () => onOpen()), opened }
    shared.set(name, one)
  }
  const { connection } = one
  await one.opened
  return (done) => connection.call(grpcRequest(), (ok) => done(ok))
}

function grpcRequest(): Buffer {
  switch (work.operation) {
    case 'put':
      return putRequest(freshKey(), value)
    case 'read':
      return rangeRequest(freshKey(), false)
    case 'local-read':
      return rangeRequest(freshKey(), true)
    case 'transaction':
      return transactionRequest(freshKeys().map((key) => [key, value]))
  }
}
