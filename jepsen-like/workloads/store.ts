/** Workloads over the store of small values. Values are new each time: so the histories can be judged without search. */
import type { Json } from '../checkers/index.js'
import type { Cluster } from '../cluster/index.js'
import { type Generator, mix, type Operation, random, stagger } from '../core/index.js'
import { type Client, type ClientOptions, changed, codeOf, unread, type Workload } from './workload.js'

const rhythm = 100
const pathOf = ({ prefix }: Cluster, key: string): string => `/v1/store/${prefix}/${key}`

/** Every other client is impatient: the fate of what it asked for is then often unknown. */
const patienceOf = (process: string): string => (Number(process.split('-').at(-1)) % 2 === 1 ? '?timeout=700ms' : '')

async function readValue({ cluster, node }: ClientOptions, key: string) {
  const answer = await cluster.api(node).call('GET', pathOf(cluster, key))
  if (answer.status === 404) return { answer, found: true, value: null as Json, revision: 0 }
  return { answer, found: answer.status === 200, value: (answer.body.value ?? null) as Json, revision: Number(answer.body.revision ?? 0) }
}

function precondition(revision: number): Readonly<Record<string, string>> {
  return revision === 0 ? { 'if-none-match': '*' } : { 'if-match': `"${revision}"` }
}

/** Reads, writes, and compare-and-set by revision, which for values that are new each time is one by value. */
function registerClient(name: string, options: ClientOptions): Client {
  const { cluster, node } = options
  const patience = patienceOf(options.process)
  const revisions = new Map<Json, number>()
  return {
    async prepare(operation) {
      if (operation.f !== 'cas') return operation
      const { found, value, revision } = await readValue(options, `${name}/${operation.key}`)
      if (!found) return { ...operation, f: 'read' }
      revisions.set(value, revision)
      return { ...operation, value: [value, operation.value as Json] }
    },
    async perform({ f, key, value }) {
      const path = `${name}/${key}`
      if (f === 'read') {
        const read = await readValue(options, path)
        return read.found ? { type: 'ok', value: read.value } : unread(read.answer)
      }
      const isDelete = f === 'write' && value === null
      const [old, wanted] = f === 'cas' ? (value as readonly [Json, Json]) : [undefined, value as Json]
      const headers = f === 'cas' ? precondition(revisions.get(old as Json) ?? 0) : {}
      const answer = isDelete
        ? await cluster.api(node).call('DELETE', `${pathOf(cluster, path)}${patience}`)
        : await cluster.api(node).call('PUT', `${pathOf(cluster, path)}${patience}`, { value: wanted }, { headers })
      // To remove what is not there is to write that nothing is there.
      return isDelete && answer.status === 404 ? { type: 'ok' } : changed(answer)
    },
  }
}

function registerOperations(seed: number, name: string, client: number, keys: number, perKey: number, deletes: boolean): Generator {
  return random(seed, `${name}/${client}`, (chance, at): Operation => {
    const key = `${Math.floor(at / perKey)}-${chance.between(0, keys - 1)}`
    const draw = chance.next()
    if (draw < 0.45) return { f: 'read', key }
    if (draw < 0.7) return { f: 'cas', key, value: `${client}.${at}` }
    return { f: 'write', key, value: deletes && draw > 0.97 ? null : `${client}.${at}` }
  })
}

export const register: Workload = {
  name: 'register',
  does: 'one register after the other: reads, writes, compare-and-set',
  clients: (nodes) => nodes * 2,
  generator: (seed, client) => stagger(rhythm, seed, `register/${client}`, registerOperations(seed, 'register', client, 1, 150, false)),
  open: (options) => registerClient('register', options),
  linearizable: { header: { model: 'cas-register', initial: null, strict: false }, operations: new Set(['read', 'write', 'cas']) },
}

export const kv: Workload = {
  name: 'kv',
  does: 'several keys: reads, writes, compare-and-set, deletes',
  clients: (nodes) => nodes,
  generator: (seed, client) => stagger(rhythm, seed, `kv/${client}`, registerOperations(seed, 'kv', client, 4, 120, true)),
  open: (options) => registerClient('kv', options),
  linearizable: { header: { model: 'kv', initial: null, strict: false }, operations: new Set(['read', 'write', 'cas']) },
}

const appendTries = 6

export const append: Workload = {
  name: 'append',
  does: 'lists: appended to by read and compare-and-set, and read whole',
  clients: (nodes) => nodes,
  generator: (seed, client) =>
    stagger(
      rhythm,
      seed,
      `append/${client}`,
      random(seed, `append/${client}`, (chance, at) => {
        const key = `${Math.floor(at / 100)}-${chance.between(0, 1)}`
        return chance.chance(0.4) ? { f: 'read', key } : { f: 'append', key, value: `${client}.${at}` }
      }),
    ),
  open: (options) => ({
    async perform({ f, key, value }) {
      for (let attempt = 1; ; attempt++) {
        const read = await readValue(options, `append/${key}`)
        if (!read.found) return unread(read.answer)
        const list = (read.value ?? []) as readonly Json[]
        if (f === 'read') return { type: 'ok', value: list as Json }
        const { cluster, node } = options
        const headers = precondition(read.revision)
        const answer = await cluster
          .api(node)
          .call('PUT', pathOf(cluster, `append/${key}`), { value: [...list, value as Json] }, { headers })
        if (answer.status !== 412 || attempt === appendTries) return changed(answer)
      }
    },
  }),
  linearizable: { header: { model: 'list-append', initial: [] }, operations: new Set(['read', 'append']) },
}

const setPerKey = 150

export const set: Workload = {
  name: 'set',
  does: 'sets that only grow, an element a key: nothing that was acknowledged may be lost',
  clients: (nodes) => nodes,
  generator: (seed, client) =>
    stagger(
      rhythm,
      seed,
      `set/${client}`,
      random(seed, `set/${client}`, (chance, at) => {
        const key = String(Math.floor(at / setPerKey))
        return chance.chance(0.15) ? { f: 'read', key } : { f: 'add', key, value: `${client}.${at}` }
      }),
    ),
  open: ({ cluster, node, process }) => ({
    async perform({ f, key, value }) {
      if (f === 'add') {
        const answer = await cluster.api(node).call('PUT', `${pathOf(cluster, `set/${key}/${value}`)}${patienceOf(process)}`, { value: 1 })
        return changed(answer)
      }
      const prefix = `${cluster.prefix}/set/${key}/`
      const answer = await cluster.api(node).call('GET', `/v1/store?prefix=${encodeURIComponent(prefix)}&limit=1000`)
      if (answer.status !== 200) return unread(answer)
      const items = answer.body.items as readonly { readonly key: string }[]
      return { type: 'ok', value: items.map((item) => item.key.slice(prefix.length)) }
    },
  }),
  linearizable: { header: { model: 'set', initial: [] }, operations: new Set(['read', 'add']) },
  finally: (done) => [...new Set(done.map(({ key }) => key as string))].map((key) => ({ f: 'read', key })),
}

export const transactions: Workload = {
  name: 'transactions',
  does: 'two keys at a time, read and written in one transaction',
  clients: (nodes) => nodes,
  generator: (seed, client) =>
    stagger(
      rhythm * 2,
      seed,
      `transactions/${client}`,
      random(seed, `transactions/${client}`, (chance, at) => {
        const round = Math.floor(at / 40)
        const keys = chance.shuffle([`${round}-a`, `${round}-b`])
        const [first, second] = keys as readonly [string, string]
        const write = (key: string): Json => ['w', key, `${client}.${at}.${key}`]
        const read = (key: string): Json => ['r', key, null]
        return {
          f: 'txn',
          value: chance.chance(0.5)
            ? [read(first), write(second)]
            : chance.chance(0.5)
              ? [write(first), write(second)]
              : [read(first), read(second)],
        }
      }),
    ),
  open: ({ cluster, node }) => ({
    async perform({ value }) {
      const asked = value as readonly (readonly [string, string, Json])[]
      const operations = asked.map(([kind, key, written]) =>
        kind === 'w'
          ? { kind: 'put', key: `${cluster.prefix}/transactions/${key}`, value: written }
          : { kind: 'get', key: `${cluster.prefix}/transactions/${key}` },
      )
      const answer = await cluster.api(node).call('POST', '/v1/store', { operations })
      if (answer.status !== 200) return changed(answer)
      const results = answer.body.results as readonly { readonly value?: Json }[]
      return {
        type: 'ok',
        value: asked.map(([kind, key, written], at) => [kind, key, kind === 'w' ? written : (results[at]?.value ?? null)]),
      }
    },
  }),
  linearizable: { header: { model: 'multi-register', initial: null }, operations: new Set(['txn']) },
}

const retriesMax = 12

/**
 * Writes under an Idempotency-Key, each sent at least twice and to different nodes, until its fate is known; and old requests that
 * are sent again long after, when others have written. The completion has all revisions that were answered: they must be one.
 */
export const idempotent: Workload = {
  name: 'idempotent',
  does: 'writes that are sent again and again under one Idempotency-Key',
  clients: (nodes) => nodes,
  generator: (seed, client) =>
    stagger(
      rhythm * 2,
      seed,
      `idempotent/${client}`,
      mix(seed, `idempotent/${client}`, [
        random(seed, `idempotent/write/${client}`, (_chance, at) => ({
          f: 'write',
          key: String(Math.floor(at / 60)),
          value: `${client}.${at}`,
        })),
        random(seed, `idempotent/read/${client}`, (_chance, at) => ({ f: 'read', key: String(Math.floor(at / 60)) })),
        random(seed, `idempotent/again/${client}`, (chance) => ({ f: 'again', value: chance.next() })),
      ]),
    ),
  open: (options) => {
    const { cluster, node, process } = options
    const done: { readonly key: string; readonly value: Json; readonly id: string; readonly revision: number }[] = []
    const others = [node, ...cluster.names.filter((name) => name !== node)]
    const send = (at: number, key: string, value: Json, id: string, timeoutMs: number) =>
      cluster
        .api(others[at % others.length] as string)
        .call('PUT', pathOf(cluster, `idempotent/${key}`), { value }, { headers: { 'idempotency-key': id }, timeoutMs })
    return {
      async perform({ f, key, value }) {
        if (f === 'read') {
          const read = await readValue(options, `idempotent/${key}`)
          return read.found ? { type: 'ok', value: read.value } : unread(read.answer)
        }
        if (f === 'again') {
          const chosen = done[Math.floor((value as number) * done.length)]
          if (chosen === undefined) return { type: 'fail', error: 'nothing was done yet' }
          const answer = await send(1, chosen.key, chosen.value, chosen.id, 6_000)
          if (answer.status !== 200) return unread(answer)
          return { type: 'ok', value: { id: chosen.id, revisions: [chosen.revision, Number(answer.body.revision)] } }
        }
        const id = `${cluster.prefix}-${process}-${value}-${key}`
        const revisions: number[] = []
        let mayBeDone = false
        let error = ''
        for (let at = 0; at < retriesMax && revisions.length < 2; at++) {
          // The first is often given up while it is on its way.
          const answer = await send(at, String(key), value as Json, id, at === 0 ? 40 : 6_000)
          const outcome = changed(answer)
          if (outcome.type === 'ok') revisions.push(Number(answer.body.revision))
          else if (outcome.type === 'info') mayBeDone = true
          else if (answer.status >= 400 && answer.status < 500) return { type: 'info', error: codeOf(answer), value: { id, revisions } }
          if (outcome.type !== 'ok') {
            error = codeOf(answer)
            await new Promise((resolve) => setTimeout(resolve, 100))
          }
        }
        const [revision] = revisions
        if (revision === undefined) return { type: mayBeDone ? 'info' : 'fail', error }
        done.push({ key: String(key), value: value as Json, id, revision })
        if (done.length > 200) done.shift()
        return { type: 'ok', value: { id, revisions } }
      },
    }
  },
  linearizable: { header: { model: 'cas-register', initial: null, strict: false }, operations: new Set(['read', 'write']) },
  judges: ['once'],
}

export const storeWorkloads: readonly Workload[] = [register, kv, append, set, transactions, idempotent]
