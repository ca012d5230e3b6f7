/**
 * `npm run chaos:node`: one node of three under random kills, stops and hangs of its daemon, guardian, monitor, agents and
 * services, one after the other and two at once; the other two nodes are left alone.
 *
 * Options: --count N (500), --seed N (by chance, and printed), --minutes N (it goes no further after so many), --net N (third number
 * of the nodes' addresses, for several at once), --json, --dry (only the schedule). The exit status is 0 where everything held, 1
 * where something did not.
 */
import { parseArgs } from 'node:util'
import { notice, print } from './report.js'
import { describeBlow, planActions } from './schedule.js'
import { groups, Stand } from './stand.js'
import { storm } from './storm.js'

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '500' },
    seed: { type: 'string' },
    minutes: { type: 'string', default: '600' },
    net: { type: 'string', default: '85' },
    json: { type: 'boolean', default: false },
    dry: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write('npm run chaos:node -- [--count 500] [--seed N] [--minutes N] [--net 85] [--json] [--dry]\n')
  process.exit(0)
}
const count = Number(values.count)
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
if (!Number.isSafeInteger(count) || count < 1 || count > 100_000) usage('--count is a whole number from 1 to 100000')
if (!Number.isSafeInteger(seed)) usage('--seed is a whole number')

const [minutes, third] = [Number(values.minutes), Number(values.net)]
if (!(minutes > 0)) usage('--minutes is a number above 0')
if (!Number.isSafeInteger(third) || third < 0 || third > 255) usage('--net is a whole number from 0 to 255')

if (values.dry) {
  for (const { number, blows, pause } of planActions(seed, count, groups))
    process.stdout.write(`${number}: after ${pause} ms, ${blows.map(describeBlow).join(' and ')}\n`)
  process.exit(0)
}
if (process.getuid?.() !== 0) usage('it needs root: every service is looked for in its own cgroup')

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void Promise.all([...Stand.standing].map((stand) => stand.close())).finally(() => process.exit(130)))

process.stderr.write(`seed ${seed}: ${count} actions; npm run chaos:node -- --count ${count} --seed ${seed} gives the same schedule\n`)
const result = await storm({ seed, count, third, minutes }, (text) => process.stderr.write(`${text}\n`))
if (values.json) process.stdout.write(`${JSON.stringify(result)}\n`)
else print(result)
if (result.problems.length > 0) process.stderr.write(notice(result))
process.exit(result.problems.length === 0 ? 0 : 1)

function usage(text: string): never {
  process.stderr.write(`chaos:node: ${text}\n`)
  process.exit(64)
}
