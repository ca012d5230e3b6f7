/**
 * What agents note down of a node for as long as it belongs to the cluster (Pacemaker's transient attributes): known on every
 * node, and gone when the node is condemned, leaves, or comes with another boot.
 *
 * Nothing that decides who may act rests on them; of copies they say which of those that may be the primary does best.
 */
import type { BootId, NodeId } from '../../base/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { currentBoot, type Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>

/** Notes of one node, and the characters of one value. */
export const notesMax = 200
export const noteValueMax = 4_096

const keyOf = (node: NodeId, name: string) => `${node}/${name}`

/** The boot of which something may be noted down; undefined of a node that is not there. */
export function notableBoot(reader: Reader, node: NodeId): BootId | undefined {
  const boot = currentBoot(reader, node)
  return boot?.state === 'live' && reader.get('nodes', node)?.away === undefined ? boot.boot : undefined
}

/** Errors: NODE_NOT_FOUND, CONFLICT, TOO_LARGE. */
export function noteAttributes(context: Context, command: CommandOf<'note-attributes'>): Record<string, unknown> {
  const { node, boot, values } = command
  context.node(node)
  if (notableBoot(context.draft, node) !== boot) refuse('CONFLICT', `boot ${boot} of ${node} is not there`)
  for (const [name, value] of Object.entries(values)) {
    if (value === null) context.draft.delete('notes', keyOf(node, name))
    else if (value.length > noteValueMax)
      refuse('TOO_LARGE', `the attribute ${name.slice(0, 80)} has ${value.length} characters`, { fix: `keep to ${noteValueMax}` })
    else context.draft.put('notes', keyOf(node, name), { boot, value })
  }
  const count = rowsOf(context.draft, node).length
  if (count > notesMax)
    refuse('TOO_LARGE', `${node} would have ${count} attributes`, { fix: `keep to ${notesMax}, and delete what nobody asks for` })
  return { node }
}

export function noteOf(reader: Reader, node: NodeId, name: string): string | undefined {
  const row = reader.get('notes', keyOf(node, name))
  return row !== undefined && row.boot === notableBoot(reader, node) ? row.value : undefined
}

export function notesOf(reader: Reader, node: NodeId): Readonly<Record<string, string>> {
  const boot = notableBoot(reader, node)
  const rows = rowsOf(reader, node).filter(([, row]) => row.boot === boot)
  return Object.fromEntries(rows.map(([name, { value }]) => [name, value]))
}

/** What was noted down of the node counts no more. */
export function forgetNotes(context: Context, node: NodeId): void {
  for (const [name] of rowsOf(context.draft, node)) context.draft.delete('notes', keyOf(node, name))
}

function rowsOf(reader: Reader, node: NodeId) {
  const rows = []
  for (const [key, row] of reader.rows('notes', keyOf(node, ''))) {
    if (!key.startsWith(keyOf(node, ''))) break
    rows.push([key.slice(node.length + 1), row] as const)
  }
  return rows
}
