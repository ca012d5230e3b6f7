/** What is asked for on the command line. */
import { parseArgs } from 'node:util'

export const partNames = ['actions', 'death', 'start', 'use', 'failover'] as const

export const help = `npm run bench:resources -- [options]

  --only LIST       of ${partNames.join(',')}; all unless given
                    actions   a process that dies, a probe that fails, a probe that hangs: until the first action
                    death     a service process killed until it answers again, seen by a client
                    start     so many resources defined until all run, on three nodes
                    use       processor time and memory of daemon, guardian and monitor, with so many resources
                    failover  a node lost with so many groups until all run elsewhere
  --runs N          of an action, a death or a failover: 5
  --starts LIST     resources: 100,1000
  --sizes LIST      resources on one node for \`use\`: 0,10,100,1000
  --failovers LIST  groups: 100,500
  --seconds N       for which \`use\` looks: 30
  --interval MS     between two probes of a resource in \`use\`: 10000
  --repeats N       of a \`start\` or a \`use\`, each on new nodes: 1
  --json PATH       all figures
`

export interface Options {
  readonly help: boolean
  readonly only: readonly string[]
  readonly runs: number
  readonly starts: readonly number[]
  readonly sizes: readonly number[]
  readonly failovers: readonly number[]
  readonly seconds: number
  readonly interval: number
  readonly repeats: number
  readonly json: string | undefined
}

/** A text says what is wrong with them. */
export function readOptions(args: readonly string[]): Options | string {
  let values: Record<string, string | boolean | undefined>
  try {
    values = parseArgs({
      args: [...args],
      options: {
        help: { type: 'boolean', default: false },
        only: { type: 'string', default: partNames.join(',') },
        runs: { type: 'string', default: '5' },
        starts: { type: 'string', default: '100,1000' },
        sizes: { type: 'string', default: '0,10,100,1000' },
        failovers: { type: 'string', default: '100,500' },
        seconds: { type: 'string', default: '30' },
        interval: { type: 'string', default: '10000' },
        repeats: { type: 'string', default: '1' },
        json: { type: 'string' },
      },
    }).values
  } catch (error) {
    return (error as Error).message
  }
  const list = (key: string): readonly string[] => String(values[key]).split(',').filter(Boolean)
  const numbers = (key: string): readonly number[] => list(key).map(Number)
  const options: Options = {
    help: values.help === true,
    only: list('only'),
    runs: Number(values.runs),
    starts: numbers('starts'),
    sizes: numbers('sizes'),
    failovers: numbers('failovers'),
    seconds: Number(values.seconds),
    interval: Number(values.interval),
    repeats: Number(values.repeats),
    json: values.json as string | undefined,
  }
  const unknown = options.only.find((name) => !(partNames as readonly string[]).includes(name))
  if (unknown !== undefined) return `--only knows no "${unknown}": ${partNames.join(', ')}`
  for (const [key, least] of [
    ['runs', 1],
    ['seconds', 1],
    ['interval', 100],
    ['repeats', 1],
    ['starts', 1],
    ['sizes', 0],
    ['failovers', 1],
  ] as const) {
    const given = options[key]
    if (![given].flat().every((value) => Number.isSafeInteger(value) && value >= least))
      return `--${key} takes whole numbers from ${least} up`
  }
  return options
}
