/** The cells of the table: each system in turn, so that what else the machine does meets them alike. */
import { loadavg } from 'node:os'
import type { Options, SystemName } from './options.js'
import { type Cell, runClient } from './run-client.js'
import { type Name, names, type System, settle } from './system.js'
import type { Operation, Work } from './work.js'

export interface Row {
  readonly cell: string
  readonly clients: number
  readonly valueBytes: number
  readonly system: SystemName
  readonly runs: readonly Cell[]
  /** Of the machine, one minute, as it was before each run. */
  readonly load: readonly number[]
}

const operations: Readonly<Record<string, Operation>> = { put: 'put', read: 'read', local: 'local-read', tx: 'transaction' }
const keys = 10_000

export async function measureCells(options: Options, systems: ReadonlyMap<System['kind'], System>): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const cell of options.cells) {
    const [operation, where] = cell.split('/') as [string, string]
    for (const valueBytes of operation === 'put' ? options.values : [256]) {
      for (const clients of operation === 'tx' ? options.clients.filter((count) => count <= 64) : options.clients) {
        const runs = new Map<SystemName, Cell[]>(options.systems.map((system) => [system, []]))
        const load: number[] = []
        for (let repetition = 0; repetition < options.repetitions; repetition++) {
          for (const [name, taken] of runs) {
            load.push(loadavg()[0] as number)
            taken.push(await once(options, systems, name, { operation, where, clients, valueBytes }))
            process.stderr.write(`\r${cell} ${clients} × ${valueBytes} B, ${name}: ${Math.round(taken.at(-1)?.perSecond ?? 0)}/s        `)
          }
        }
        for (const [system, taken] of runs) rows.push({ cell, clients, valueBytes, system, runs: taken, load })
      }
    }
  }
  process.stderr.write('\n')
  return rows
}

async function once(
  options: Options,
  systems: ReadonlyMap<System['kind'], System>,
  name: SystemName,
  cell: { readonly operation: string; readonly where: string; readonly clients: number; readonly valueBytes: number },
): Promise<Cell> {
  const system = systems.get(name === 'quorate' ? 'quorate' : 'etcd') as System
  const { leader, followers } = await settle(system)
  const at: readonly Name[] = cell.where === 'leader' ? [leader] : cell.where === 'spread' ? names : [followers[0] as Name]
  const operation = operations[cell.operation]
  if (operation === undefined) throw new Error(`there is no cell ${cell.operation}/${cell.where}`)
  const work: Work = {
    protocol: name,
    operation,
    targets: at.map((member) => system.target(member)),
    clients: cell.clients,
    warmUpMs: 700,
    measureMs: options.seconds * 1_000,
    valueBytes: cell.valueBytes,
    keys,
    operations: options.operations,
  }
  return runClient(system, work)
}

/**
 * Members that have run for a while: a compiler that works while the program runs has to have seen it, and the first seconds of a
 * process are not what a user of weeks lives with. For both systems alike.
 */
export async function warmUp(options: Options, systems: ReadonlyMap<System['kind'], System>): Promise<void> {
  const cells = [...new Set(options.cells.map((cell) => cell.replace('local/', 'read/')))]
  for (const name of options.systems) {
    for (const cell of cells) {
      const [operation, where] = cell.split('/') as [string, string]
      await once({ ...options, seconds: options.warmUp }, systems, name, {
        operation,
        where,
        clients: operation === 'tx' ? 4 : 64,
        valueBytes: 256,
      })
      process.stderr.write(`\rwarm-up: ${name} ${cell}            `)
    }
  }
}

/** Every key that is read is there, written by the same client program. */
export async function fill(system: System, count = keys): Promise<void> {
  const { leader } = await settle(system)
  const protocol = system.kind === 'quorate' ? 'quorate' : 'etcd-http'
  const base = { protocol, targets: [system.target(leader)], valueBytes: 256, keys: count, warmUpMs: 0 } as const
  // The client goes through all keys in turn: as many operations as there are keys reach each of them.
  for (let done = 0; done < count; ) {
    const { requests } = await runClient(system, { ...base, operation: 'transaction', operations: 100, clients: 2, measureMs: 500 })
    done += Math.floor((requests * 100) / 2)
  }
}
