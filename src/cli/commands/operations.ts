/** How an operation reads. */
import type { Body } from '../session.js'
import { table } from '../table.js'

export function operationText(body: Body): string {
  const result = body.result === null ? `see quorate operation show ${body.id}, or repeat with --wait` : body.result
  return `${body.status}: ${body.detail} (${body.id}, ${body.took ?? '0ms'})\n${result}`
}

export function operationsText(operations: readonly Body[]): string {
  return table(
    ['OPERATION', 'KIND', 'SUBJECT', 'STATUS', 'TOOK', 'RESULT'],
    operations.map((one) => [one.id, one.kind, one.subject, one.status, one.took, one.result]),
  )
}
