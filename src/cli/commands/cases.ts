/** Cases, and what the planner decided. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import { type Body, segment } from '../session.js'
import { pairs, table } from '../table.js'

export function addCaseCommands(program: Command, run: Run): void {
  const cases = program.command('case').description('stories of suspected nodes')
  cases
    .command('list', { isDefault: true })
    .description('every case that is kept')
    .option('--open', 'only those that are not over')
    .action(
      run((session, { open }: { open?: boolean }) =>
        session.show({ method: 'GET', path: '/v1/cases', query: { open: open === true ? 'true' : undefined } }, (body) =>
          casesText(body.cases),
        ),
      ),
    )
  cases
    .command('show <case>')
    .description('one case with its timeline')
    .action(run((session, id: string) => session.show({ method: 'GET', path: `/v1/cases/${segment(id)}` }, caseText)))
  cases
    .command('acknowledge <case>')
    .description('state that the node is off: your word is the proof')
    .requiredOption('--node <node>', 'the name of the node')
    .requiredOption('--reason <text>', 'how you know')
    .action(
      run((session, id: string, { node, reason }: { node: string; reason: string }) =>
        session.show({ method: 'POST', path: `/v1/cases/${segment(id)}/acknowledge`, body: { node, reason } }, caseText),
      ),
    )
  const decision = program.command('decision').description('what the planner decided')
  decision
    .command('list', { isDefault: true })
    .option('--group <group>', 'only of this group')
    .action(
      run((session, { group }: { group?: string }) =>
        session.show({ method: 'GET', path: '/v1/decisions', query: { group } }, (body) =>
          table(
            ['TIME', 'DECISION', 'GROUP', 'ACTION', 'RULE', 'TEXT'],
            body.decisions.map((one: Body) => [one.time, one.id, one.group, one.action, one.rule, one.text]),
          ),
        ),
      ),
    )
  decision
    .command('show <decision>')
    .action(
      run((session, id: string) =>
        session.show({ method: 'GET', path: `/v1/decisions/${segment(id)}` }, (body) => JSON.stringify(body, undefined, 2)),
      ),
    )
  decision
    .command('replay <decision>')
    .action(
      run((session, id: string) =>
        session.show({ method: 'GET', path: `/v1/decisions/${segment(id)}/replay` }, ({ same, kept }) =>
          same ? `the same again: ${kept.text}` : 'another decision than then',
        ),
      ),
    )
}

function casesText(cases: readonly Body[]): string {
  return table(
    ['CASE', 'NODE', 'STAGE', 'OPENED', 'TRIGGER', 'PROOF', 'CONCLUSION'],
    cases.map((one) => [one.id, one.node, one.stage, one.openedAt, one.trigger, one.proof?.kind, one.conclusion]),
  )
}

function caseText(body: Body): string {
  const timeline = table(
    ['AFTER', 'STAGE', 'DETAIL'],
    body.timeline.map((one: Body) => [`${one.afterMs} ms`, one.stage, one.detail]),
  )
  const attempts = table(
    ['ATTEMPT', 'ACTION', 'BY', 'STATE', 'DETAIL'],
    body.attempts.map((one: Body) => [one.number, one.action, one.arbiter, one.state, one.detail]),
  )
  const head = pairs([
    ['case', body.id],
    ['node', body.node],
    ['boot', body.boot],
    ['stage', body.stage],
    ['arbiter', body.arbiter],
    ['groups', body.groups.join(' ')],
    ['proof', body.proof === null ? null : `${body.proof.kind}: ${body.proof.detail}`],
    ['conclusion', body.conclusion],
    ['next', body.next],
  ])
  return [head, timeline, attempts].filter((part) => part !== '').join('\n\n')
}
