/**
 * Who is to belong to the consensus. What is wanted stands here; the leader makes it so by changes of the Raft
 * configuration, one after the other, and tells when a member has left (DESIGN §4, thesis §4).
 *
 * A member is one life of a data folder: a node whose disk was lost joins as a new member, learner first, and takes the
 * place of its former one when it has caught up.
 */
import { invariant, type MemberId, type NodeId } from '../../base/index.js'
import type { Configuration, ConfigurationChange } from '../raft/index.js'
import type { Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { levelOfAll } from './features.js'
import { forgetNotes } from './notes.js'
import type { Address, MemberRow, NodeRow } from './rows.js'
import { bootsOf, groupsOf, heldBy, membersOfNode, openCaseOf, type Reader } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

export function newMember(
  context: Context,
  member: MemberId,
  node: NodeId,
  address: Address,
  role: 'voter' | 'learner',
  folder: string | null,
) {
  const row: MemberRow = {
    member,
    node,
    address,
    wanted: role,
    folder,
    tookPart: folder === null,
    votes: folder === null,
    addedIndex: context.index,
  }
  context.draft.put('members', member, row)
  return row
}

export function newNode(context: Context, name: NodeId, member: MemberId): NodeRow {
  return {
    name,
    member,
    links: [],
    guardian: null,
    api: null,
    duty: 'active',
    fencing: { levels: [], then: 'on' },
    deviceDistrusted: null,
    attributes: {},
    revision: context.index,
  }
}

/** A right to join, once, under this name. Only a checksum of the word is kept. */
export function invite(context: Context, command: CommandOf<'invite'>): Value {
  const { node, checksum, role } = command
  const until = context.at + command.forMs
  for (const [key, row] of [...context.draft.rows('invitations')]) if (row.until <= context.at) context.draft.delete('invitations', key)
  context.draft.put('invitations', checksum, { node, role, until: until as never, by: command.by })
  context.event('member.invited', node, `${node} is invited to join as a ${role}`, { role })
  return { until }
}

/**
 * An empty data folder asks to belong. The same folder gets the same answer however often it asks; another folder of a
 * node that belongs already is that node with a new disk.
 */
export function admit(context: Context, command: CommandOf<'admit'>): Value {
  const { node, folder, address } = command
  const lives = membersOfNode(context.draft, node)
  const known = lives.find((row) => row.folder === folder)
  if (known !== undefined) return { member: known.member }
  const former = lives.findLast((row) => row.wanted !== 'gone')
  // A node that the cluster knows is expected back, also one that a recovery has left without a member.
  const isKnown = context.draft.get('nodes', node) !== undefined
  const role = former?.wanted === 'learner' ? 'learner' : isKnown ? 'voter' : invitedRole(context, node, command.checksum)
  newMember(context, command.member, node, address, role, folder)
  if (!isKnown) context.putNode(newNode(context, node, command.member))
  context.event(
    'member.admitted',
    node,
    !isKnown ? `${node} joins as a ${role}` : `${node} is back with an empty data folder and joins as a new member`,
    { member: command.member, before: former?.member ?? null },
  )
  return { member: command.member }
}

function invitedRole(context: Context, node: NodeId, checksum: string | null): 'voter' | 'learner' {
  const invitation = checksum === null ? undefined : context.draft.get('invitations', checksum)
  if (checksum === null || invitation === undefined || invitation.until <= context.at || invitation.node !== node)
    refuse('CONFLICT', `${node} does not belong to this cluster and has no invitation that is valid for it`, {
      fix: `quorate member invite ${node}, then quorate join with what it prints`,
    })
  context.draft.delete('invitations', checksum)
  return invitation.role
}

/** What an administrator wants of a member. A node leaves the cluster only when nothing of it may still run. */
export function wantMember(context: Context, command: CommandOf<'want-member'>): Value {
  const row = memberRow(context, command.member)
  if (command.wanted === 'gone') mayLeave(context, row)
  else if (row.wanted === 'gone')
    refuse('CONFLICT', `${row.member} is leaving`, { fix: 'a member does not come back; let its node join again' })
  context.draft.put('members', row.member, { ...row, wanted: command.wanted })
  if (row.wanted !== command.wanted) {
    const text =
      command.wanted === 'gone' ? `${row.member} of ${row.node} is to leave` : `${row.member} of ${row.node} is to be a ${command.wanted}`
    context.event('member.wanted', row.node, text, { member: row.member, wanted: command.wanted })
  }
  return { member: row.member, wanted: command.wanted }
}

function memberRow(context: Context, member: string): MemberRow {
  return (
    context.draft.get('members', member) ??
    refuse('MEMBER_NOT_FOUND', `the cluster has no member "${member.slice(0, 80)}"`, { fix: 'GET /v1/members lists them' })
  )
}

function mayLeave(context: Context, row: MemberRow): void {
  const voters = [...context.draft.rows('members')].filter(([, other]) => other.wanted === 'voter' && other.member !== row.member)
  if (row.wanted === 'voter' && voters.length === 0) refuse('CONFLICT', `${row.member} is the last voter`)
  const others = membersOfNode(context.draft, row.node).filter((other) => other.member !== row.member && other.wanted !== 'gone')
  if (others.length > 0) return // Another life of the node stays.
  const held = bootsOf(context.draft, row.node).flatMap((boot) => heldBy(context.draft, row.node, boot.boot))
  if (held.length > 0)
    refuse('CONFLICT', `${row.node} holds ${held.join(', ')}`, {
      fix: `POST /v1/nodes/${row.node}/drain, wait for it, and repeat`,
      facts: { held },
    })
  const listed = groupsOf(context.draft).filter((group) => group.definition.nodes.includes(row.node))
  if (listed.length > 0)
    refuse('CONFLICT', `${row.node} stands in the node list of ${listed.map((group) => group.name).join(', ')}`, {
      fix: 'take it out of their "nodes" first',
      facts: { groups: listed.map((group) => group.name) },
    })
  // What the log forgets, its guardian does not.
  if (bootsOf(context.draft, row.node).some(({ detached }) => detached !== undefined))
    refuse('CONFLICT', `the guardian of ${row.node} is suspended by maintenance`, {
      fix: `POST /v1/nodes/${row.node}/maintenance {"end": true}, and wait until attention no longer says DETACHED`,
    })
  const open = openCaseOf(context.draft, row.node)
  if (open !== undefined) refuse('CONFLICT', `case ${open.id} of ${row.node} is open`, { fix: `GET /v1/cases/${open.id}` })
}

/** The rows follow the committed configuration, as the leader states it: who took part and is in it no more is gone. */
export function settleMembers(context: Context, command: CommandOf<'settle-members'>): Value {
  const gone: string[] = []
  for (const [member, row] of [...context.draft.rows('members')]) {
    if (command.members.includes(row.member)) {
      const votes = command.voters.includes(row.member)
      if (!row.tookPart || row.votes !== votes) context.draft.put('members', member, { ...row, tookPart: true, votes })
      continue
    }
    if (row.wanted !== 'gone' && !row.tookPart) continue // Not taken in yet.
    context.draft.delete('members', member)
    gone.push(member)
    context.event('member.left', row.node, `${member} of ${row.node} belongs no more`, { member })
    forgetNode(context, row.node)
  }
  for (const member of command.members) {
    const row = context.draft.get('members', member)
    const node = row === undefined ? undefined : context.draft.get('nodes', row.node)
    if (row === undefined || node === undefined || node.member === member) continue
    const latest = membersOfNode(context.draft, row.node).findLast((other) => command.members.includes(other.member))
    if (latest?.member === member) context.putNode({ ...node, member: row.member })
  }
  return { gone }
}

/** Every member of the node is to go: nothing new is given to it. */
export function isLeaving(reader: Reader, node: NodeId): boolean {
  const lives = membersOfNode(reader, node)
  return lives.length > 0 && lives.every((row) => row.wanted === 'gone')
}

/** A node without a member is no node of the cluster any more. */
function forgetNode(context: Context, node: NodeId): void {
  if (membersOfNode(context.draft, node).length > 0) return
  for (const boot of bootsOf(context.draft, node)) {
    invariant(heldBy(context.draft, node, boot.boot).length === 0, 'a node that leaves holds nothing', { node })
    context.draft.delete('boots', `${node}/${boot.boot}`)
  }
  forgetNotes(context, node)
  context.draft.delete('nodes', node)
  context.event('node.left', node, `${node} has left the cluster`)
}

export function raiseLevel(context: Context, command: CommandOf<'raise-level'>): Value {
  const { level } = context.meta
  if (command.level <= level) return { ignored: 'in force already' }
  if (levelOfAll(context.draft) < command.level)
    refuse('CONFLICT', `not every member understands level ${command.level}`, { fix: 'upgrade the members that do not' })
  context.putMeta({ ...context.meta, level: command.level })
  context.event('cluster.level', context.meta.clusterName, `every member understands level ${command.level}`, { level: command.level })
  return { level: command.level }
}

export type MembersWanted =
  | { readonly kind: 'change'; readonly member: MemberId; readonly change: ConfigurationChange }
  /** The rows are to follow the configuration. */
  | { readonly kind: 'settle'; readonly members: readonly MemberId[]; readonly voters: readonly MemberId[] }

/** What the leader sees of a member. */
export interface MemberSight {
  /** It has the log, but for what came just now, and answers. */
  hasCaughtUp(member: MemberId): boolean
  /** Milliseconds since it was heard, or since this leader has looked for it. */
  silence(member: MemberId): number
}

/** A life of a node that never showed up gives way to another one that did. Milliseconds. */
const patience = 30_000

/**
 * The next step from the committed configuration to what is wanted; undefined where they agree. New members are learners
 * first; one that has caught up takes its vote and, in the same change, the place of its node's other lives. Which of a node's
 * folders is the one that lives shows only there: a request to join may arrive long after its folder was lost again.
 */
export function conductMembers(rows: readonly MemberRow[], configuration: Configuration, sight: MemberSight): MembersWanted | undefined {
  if (rows.length === 0) return undefined // The first entry is not applied.
  const { voters, learners } = configuration
  const members = [...voters, ...learners]
  const change = (row: MemberRow, part: Partial<ConfigurationChange>): MembersWanted => ({
    kind: 'change',
    member: row.member,
    change: { add: [], promote: [], remove: [], ...part },
  })
  const otherLives = (row: MemberRow): readonly MemberId[] =>
    rows.filter((other) => other.node === row.node && other !== row && members.includes(other.member)).map((other) => other.member)
  const place = (row: MemberRow) => ({ member: row.member, place: { node: row.node, addresses: [row.address] } })
  const stays = (member: MemberId): boolean => rows.some((row) => row.member === member && row.wanted !== 'gone')
  const isLost = (row: MemberRow): boolean =>
    sight.silence(row.member) > patience && otherLives(row).some((other) => stays(other) && sight.hasCaughtUp(other))

  const isUnsettled = (row: MemberRow): boolean =>
    members.includes(row.member) ? !row.tookPart || row.votes !== voters.includes(row.member) : row.tookPart || row.wanted === 'gone'
  if (rows.some(isUnsettled)) return { kind: 'settle', members, voters }
  const caughtUp = rows.find((row) => row.wanted === 'voter' && learners.includes(row.member) && sight.hasCaughtUp(row.member))
  if (caughtUp !== undefined) return change(caughtUp, { promote: [caughtUp.member], remove: otherLives(caughtUp) })
  const added = rows.find((row) => row.wanted !== 'gone' && !members.includes(row.member))
  if (added !== undefined) return change(added, { add: [place(added)] })
  // The most silent one first: without it the majority is smaller, and a removal that has to wait for one that is lost does not keep it.
  const leaving = rows
    .filter((row) => members.includes(row.member) && (row.wanted === 'gone' || (learners.includes(row.member) && isLost(row))))
    .reduce<MemberRow | undefined>(
      (most, row) => (most === undefined || sight.silence(row.member) > sight.silence(most.member) ? row : most),
      undefined,
    )
  if (leaving !== undefined) return change(leaving, { remove: [leaving.member] })
  // Nothing to be done but to wait: say for whom.
  const waiting = rows.find((row) => row.wanted === 'voter' && learners.includes(row.member))
  return waiting === undefined ? undefined : change(waiting, { promote: [waiting.member], remove: otherLives(waiting) })
}
