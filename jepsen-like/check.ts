/**
 * `jepsen-like/check FILE…`: is each of these histories linearizable? One line of JSON for each file.
 *
 * The exit status is that of the worst file: 1 not linearizable, 3 not a history, 2 not known within the limits, 0 linearizable.
 */
import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { parseArgs } from 'node:util'
import {
  checkLinearizable,
  defaultLimits,
  type Limits,
  MalformedHistory,
  parseHistory,
  timeContradiction,
  type Verdict,
} from './checkers/index.js'

const usage = `usage: jepsen-like/check [--limit seconds] [--configurations number] FILE…

Prints {"history", "linearizable": true|false|"unknown", "witness"} for each file of JSON Lines.
  --limit           seconds for each file, ${defaultLimits.seconds} by default
  --configurations  states of the search to keep in memory, ${defaultLimits.configurations} by default
The format and the verdicts are in docs/histories.md.`

const statuses = { linearizable: 0, guilty: 1, unknown: 2, malformed: 3, usage: 64 } as const
type Outcome = keyof typeof statuses
const worstFirst: readonly Outcome[] = ['guilty', 'malformed', 'unknown', 'linearizable']

function main(args: readonly string[]): number {
  const asked = parse(args)
  if (typeof asked === 'string') {
    console.error(`${asked}\n\n${usage}`)
    return statuses.usage
  }
  if (asked.help) {
    console.log(usage)
    return 0
  }
  const outcomes = asked.files.map((file) => {
    const { verdict, note, outcome } = judgeFile(file, asked.limits)
    console.log(JSON.stringify({ history: basename(file, '.jsonl'), ...verdict, ...(note === undefined ? {} : { note }) }))
    return outcome
  })
  return statuses[worstFirst.find((outcome) => outcomes.includes(outcome)) ?? 'linearizable']
}

interface Asked {
  readonly files: readonly string[]
  readonly limits: Limits
  readonly help: boolean
}

/** A text says what is wrong with the arguments. */
function parse(args: readonly string[]): Asked | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { limit: { type: 'string' }, configurations: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    })
    const seconds = Number(values.limit ?? defaultLimits.seconds)
    const configurations = Number(values.configurations ?? defaultLimits.configurations)
    if (!(seconds > 0)) return `--limit is a number of seconds above 0, not ${values.limit}`
    if (!(configurations > 0)) return `--configurations is a number above 0, not ${values.configurations}`
    if (positionals.length === 0 && values.help !== true) return 'no file is named'
    return { files: positionals, limits: { seconds, configurations }, help: values.help === true }
  } catch (error) {
    return (error as Error).message
  }
}

function judgeFile(
  file: string,
  limits: Limits,
): { readonly verdict: Verdict; readonly note?: string | undefined; readonly outcome: Outcome } {
  const malformed = (reason: string) => ({
    verdict: { linearizable: 'unknown', witness: { reason } } as const,
    outcome: 'malformed' as const,
  })
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    return malformed(`cannot be read: ${(error as Error).message}`)
  }
  try {
    const { header, events } = parseHistory(text)
    const verdict = checkLinearizable(events, header, limits)
    const note = timeContradiction(events)
    if (verdict.linearizable !== 'unknown') return { verdict, note, outcome: verdict.linearizable ? 'linearizable' : 'guilty' }
    const { reason } = verdict.witness
    return { verdict, note, outcome: reason === 'limit' || reason === 'memory' ? 'unknown' : 'malformed' }
  } catch (error) {
    if (!(error instanceof MalformedHistory)) throw error
    return malformed(error.message)
  }
}

process.exitCode = main(process.argv.slice(2))
