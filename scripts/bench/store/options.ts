/** What is asked for on the command line. */
import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'

export const help = `npm run bench:store -- [options]

Three Quorate nodes and three members of Debian's etcd, with data folders on the real disk, driven by one client program in turn.

  --cells LIST      of put/leader, put/follower, put/spread, read/leader, read/follower, local/leader, local/follower, tx/leader;
                    all unless given
  --values LIST     bytes of a value, for puts: 256,1024
  --clients LIST    1,16,64,256
  --systems LIST    quorate,etcd-http,etcd-grpc; with quorate alone etcd is not needed
  --seconds N       measured time of one run: 3
  --warm-up N       seconds of each cell before anything is measured: 10
  --repetitions N   runs of each cell, the systems in turn: 5
  --operations N    of one transaction: 100
  --also LIST       of elections,restart,watch: leader killed and (root) cut off; restart, catch-up, folder size; 1,000 event streams
  --runs N          of an election or a restart: 7
  --load MINUTES    full load for so long, and how many elections there were
  --large MiB       a state of that size: restart, snapshot to an empty node, compaction, with what a client notices
  --folder PATH     where the data folders lie: a temporary folder unless given
  --json PATH       all figures
  --quick           64 clients, 256 bytes, 2 seconds, 2 repetitions
`

export type SystemName = 'quorate' | 'etcd-http' | 'etcd-grpc'

export interface Options {
  readonly cells: readonly string[]
  readonly values: readonly number[]
  readonly clients: readonly number[]
  readonly systems: readonly SystemName[]
  readonly seconds: number
  /** Seconds of each cell before anything is measured. */
  readonly warmUp: number
  readonly repetitions: number
  readonly operations: number
  readonly also: readonly string[]
  readonly runs: number
  readonly loadMinutes: number
  readonly largeMebibytes: number
  readonly folder: string | undefined
  readonly json: string | undefined
}

const allCells = ['put/leader', 'put/follower', 'put/spread', 'read/leader', 'read/follower', 'local/leader', 'local/follower', 'tx/leader']

const allSystems: readonly SystemName[] = ['quorate', 'etcd-http', 'etcd-grpc']

function refuse(text: string): never {
  process.stderr.write(`${text}\n`)
  process.exit(2)
}

/** Undefined where help was asked for; ends the process where something is asked for that there is not. */
export function readOptions(args: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const
  const { values: given } = parseArgs({
    args: [...args],
    options: {
      cells: text,
      values: text,
      clients: text,
      systems: text,
      seconds: text,
      'warm-up': text,
      repetitions: text,
      operations: text,
      also: text,
      runs: text,
      load: text,
      large: text,
      folder: text,
      json: text,
      quick: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (given.help === true) return undefined
  const quick = given.quick === true
  const list = (value: string | undefined, fallback: string): readonly string[] => (value ?? fallback).split(',').filter(Boolean)
  const oneOf = <Name extends string>(name: string, value: string | undefined, all: readonly Name[]): readonly Name[] =>
    list(value, all.join()).map(
      (part) => all.find((known) => known === part) ?? refuse(`--${name}: there is no "${part}"; there are ${all.join(', ')}`),
    )
  return {
    cells: oneOf('cells', given.cells, allCells),
    values: list(given.values, quick ? '256' : '256,1024').map(Number),
    clients: list(given.clients, quick ? '64' : '1,16,64,256').map(Number),
    systems: oneOf('systems', given.systems, allSystems),
    seconds: Number(given.seconds ?? (quick ? 2 : 3)),
    warmUp: Number(given['warm-up'] ?? 10),
    repetitions: Number(given.repetitions ?? (quick ? 2 : 5)),
    operations: Number(given.operations ?? 100),
    also: list(given.also, ''),
    runs: Number(given.runs ?? 7),
    loadMinutes: Number(given.load ?? 0),
    largeMebibytes: Number(given.large ?? 0),
    folder: given.folder === undefined || existsSync(given.folder) ? given.folder : refuse(`--folder: there is no ${given.folder}`),
    json: given.json,
  }
}
