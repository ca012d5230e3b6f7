/** The brakes, and how they are let go. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import type { Body } from '../session.js'
import { pairs, table } from '../table.js'

export function addBrakesCommands(program: Command, run: Run): void {
  const brakes = program.command('brakes').description('how much has happened on its own lately, and whether more is held')
  brakes
    .command('show', { isDefault: true })
    .description('causes, fencings, and what is allowed')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/brakes' }, brakesText)))
  brakes
    .command('release')
    .description('let them go: what was counted until now counts no more')
    .requiredOption('--reason <text>', 'why')
    .action(
      run((session, { reason }: { reason: string }) =>
        session.show({ method: 'POST', path: '/v1/brakes/release', body: { reason } }, brakesText),
      ),
    )
}

function brakesText(body: Body): string {
  const { holds, fencings, causes, released } = body
  const head = pairs([
    ['hold', holds.length === 0 ? 'nothing' : holds.join('; ')],
    ['fencings', `${fencings.recent} of ${fencings.max} within ${fencings.window}`],
    ['causes', `${causes.recent.length} listed, ${causes.max} allowed within ${causes.window}`],
    ...(released === null ? [] : ([['let go', `${released.ago} ago by ${released.by}: ${released.reason}`]] as const)),
  ])
  const rows = table(
    ['AGO', 'KIND', 'SUBJECT', 'TEXT', 'FORGOTTEN IN'],
    causes.recent.map((one: Body) => [one.ago, one.kind, one.subject, one.text, one.forgottenIn]),
  )
  return [head, rows].filter((part) => part !== '').join('\n\n')
}
