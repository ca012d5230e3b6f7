/** What happened, and what happens. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import type { Body, Session } from '../session.js'

interface EventOptions {
  readonly follow?: boolean
  readonly from?: string
  readonly last?: string
}

export function addEventCommands(program: Command, run: Run): void {
  program
    .command('events')
    .description('the journal')
    .option('-f, --follow', 'go on with what happens, until interrupted')
    .option('--from <revision>', 'the first revision wanted')
    .option('--last <number>', 'begin with the last so many, 100 unless given')
    .action(run(events))
}

function events(session: Session, { follow, from, last }: EventOptions): Promise<void> {
  const query = { from, last, follow: follow === true ? undefined : 'false' }
  return session.follow({ method: 'GET', path: '/v1/events', query, headers: { accept: 'application/x-ndjson' } }, (line) => {
    if (line !== '') session.print(session.options.output === 'json' ? line : eventText(JSON.parse(line)))
  })
}

function eventText(event: Body): string {
  if (event.comment !== undefined) return `# ${event.comment}`
  return `${event.time}  ${String(event.revision).padStart(6)}  ${event.kind.padEnd(20)}  ${event.text}`
}
