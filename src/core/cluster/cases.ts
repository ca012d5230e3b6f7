/**
 * Cases: one suspected node's story, from the challenge to the proof.
 *
 * The order in the log decides between the suspect's answer and its condemnation: whichever comes later is refused.
 * Each call to a fence device is an attempt committed before the device is called (P6), one at a time.
 */
import { type DiskName, logIndex, type NodeId } from '../../base/index.js'
import { noteCause, whyCaseHeld } from './brakes.js'
import type { Answering, Command } from './commands.js'
import { type Context, refuse } from './context.js'
import { outlastsLease } from './definition.js'
import { heldOn, storageOf } from './disks.js'
import { brakesLevel, levelInForce } from './features.js'
import { forgetNotes } from './notes.js'
import { mayStillRun } from './orders.js'
import { prove, proveBoot } from './ownership.js'
import { noteNodeLoss } from './quarantine.js'
import { recoveredTrigger } from './recovered-trigger.js'
import type { Attempt, BootRow, CaseRow, GroupRow, Proof } from './rows.js'
import { heldBy, isQuorumWithout, openCaseOf } from './state.js'

type CommandOf<Kind extends Command['kind']> = Extract<Command, { kind: Kind }>
type Value = Record<string, unknown>

const casesKept = 200

export function openCase(context: Context, command: CommandOf<'open-case'>): Value {
  const boot = context.currentBoot(command.node)
  if (boot === undefined || boot.boot !== command.boot || boot.state !== 'live')
    refuse('CONFLICT', `${command.node} has no live boot ${command.boot}`)
  if (openCaseOf(context.draft, command.node) !== undefined) refuse('CONFLICT', `${command.node} has an open case already`)
  if (command.arbiter === command.node) refuse('CONFLICT', 'a node is never its own arbiter')
  if (context.draft.get('nodes', command.node)?.maintenance !== undefined && !command.trigger.startsWith('asked by'))
    refuse('CONFLICT', `${command.node} is in maintenance: its silence opens no case`)
  context.putCase({
    id: command.caseId,
    node: command.node,
    boot: command.boot,
    arbiter: command.arbiter,
    nonce: command.nonce,
    stage: 'CHALLENGE',
    trigger: command.trigger,
    openedIndex: context.index,
    openedTerm: context.term,
    openedAt: context.at,
    openedWall: context.wall,
    dossier: command.dossier,
    timeline: [{ stage: 'CHALLENGE', at: context.at, wall: context.wall, detail: command.trigger }],
    attempts: [],
    proof: null,
    groups: [],
    closedAt: null,
    conclusion: null,
  })
  context.event('case.opened', command.node, `${command.node} is challenged: ${command.trigger}; ${command.arbiter} is the arbiter`, {
    case: command.caseId,
    arbiter: command.arbiter,
  })
  dropOldCases(context)
  return { case: command.caseId }
}

function dropOldCases(context: Context): void {
  const over = [...context.draft.rows('cases')]
    .filter(([, row]) => row.stage === 'RECOVERED' || row.stage === 'CLOSED')
    .sort(([, a], [, b]) => a.openedIndex - b.openedIndex)
  for (const [key] of over.slice(0, Math.max(0, over.length - casesKept))) context.draft.delete('cases', key)
}

export function registerNonce(context: Context, command: CommandOf<'register-nonce'>): Value {
  const row = context.case(command.caseId)
  if (row.stage !== 'CHALLENGE') refuse('CONFLICT', `case ${row.id} is past its challenge: ${row.stage}`)
  if (row.trigger.startsWith('asked by')) refuse('CONFLICT', 'a person asked for this fencing: an answer does not end it')
  if (row.nonce !== command.nonce || row.boot !== command.boot) refuse('CONFLICT', 'the answer is not to this challenge')
  return close(context, row, `${row.node} answered the challenge`)
}

export function closeCase(context: Context, command: CommandOf<'close-case'>): Value {
  const row = context.case(command.caseId)
  if (row.stage !== 'CHALLENGE') refuse('CONFLICT', `case ${row.id} is past its challenge: ${row.stage}`)
  return close(context, row, command.conclusion)
}

function close(context: Context, row: CaseRow, conclusion: string): Value {
  context.putCase({
    ...row,
    stage: 'CLOSED',
    closedAt: context.at,
    conclusion,
    timeline: [...row.timeline, { stage: 'CLOSED', at: context.at, wall: context.wall, detail: conclusion }],
  })
  context.event('case.closed', row.node, `case of ${row.node} closed: ${conclusion}`, { case: row.id })
  return {}
}

export function condemn(context: Context, command: CommandOf<'condemn'>): Value {
  const row = context.case(command.caseId)
  if (row.stage !== 'CHALLENGE') refuse('CONFLICT', `case ${row.id} is ${row.stage}`)
  const boot = context.boot(row.node, row.boot)
  if (boot === undefined || boot.state !== 'live') refuse('CONFLICT', `${row.node} has no live boot ${row.boot}`)
  // By the order in the log, as with the nonce; the end of the lease is the leader's to judge.
  if (row.diskAnswer !== undefined && command.leaseOver !== true && !row.trigger.startsWith('asked by'))
    refuse('CONFLICT', `${row.node} has answered on the shared disk ${row.diskAnswer.disk}: its lease has to run out first`)
  leaveQuorum(context, row, command.answering)
  context.putBoot({ ...boot, state: 'condemned', condemned: { caseId: row.id, index: context.index, term: context.term } })
  const condemned: CaseRow = {
    ...row,
    stage: 'CONDEMNED',
    groups: heldBy(context.draft, row.node, row.boot),
    timeline: [...row.timeline, { stage: 'CONDEMNED', at: context.at, wall: context.wall, detail: command.reason }],
  }
  context.putCase(condemned)
  context.event('node.condemned', row.node, `${row.node} is condemned: ${command.reason}`, { case: row.id, boot: row.boot })
  if (!row.trigger.startsWith('asked by ')) {
    const text = `${row.node} was lost (case ${row.id})`
    noteCause(context, { kind: 'node-lost', subject: row.node, text, caseId: row.id })
  }
  noteNodeLoss(context, row)
  // Whoever proposed it may not have seen the latest of the others.
  if (command.attempt !== null && whyHeldNow(context, condemned) === undefined) beginAttempt(context, condemned, command.attempt)
  return {}
}

/** Members of earlier versions leave that to the leader. */
function whyHeldNow(context: Context, row: CaseRow): string | undefined {
  return levelInForce(context.draft) < brakesLevel ? undefined : whyCaseHeld(context.draft, row, context.at)
}

/** Whoever asks has a quorum now; cutting off one of it would leave nobody who could go on. */
function leaveQuorum(context: Context, row: CaseRow, answering: Answering): void {
  if (!isQuorumWithout(context.draft, row.node, answering))
    refuse('CONFLICT', `the voters left without ${row.node} would be no quorum (${answering.join(', ')} answer)`)
}

export function attempt(context: Context, command: CommandOf<'attempt'>): Value {
  const row = context.case(command.caseId)
  const turnOn = command.attempt.action === 'on'
  const allowed = row.stage === (turnOn ? 'PROVED' : 'CONDEMNED')
  if (!allowed) refuse('CONFLICT', `case ${row.id} is ${row.stage}`)
  // A node that came back by itself is not shot again: its probes prove the earlier boot gone.
  if (context.currentBoot(row.node)?.boot !== row.boot) refuse('CONFLICT', `${row.node} is back with another boot`)
  // Since it was condemned others may have gone, and it may answer again.
  if (!turnOn) leaveQuorum(context, row, command.answering)
  const held = turnOn ? undefined : whyHeldNow(context, row)
  if (held !== undefined) refuse('CONFLICT', `${row.node} is not switched off on its own: ${held}`)
  beginAttempt(context, row, command.attempt)
  return {}
}

function beginAttempt(context: Context, row: CaseRow, order: CommandOf<'attempt'>['attempt']): void {
  if (row.attempts.some((earlier) => earlier.state === 'open')) refuse('CONFLICT', `case ${row.id} has an open attempt`)
  if (order.number !== row.attempts.length + 1) refuse('CONFLICT', `the next attempt of case ${row.id} is ${row.attempts.length + 1}`)
  if (order.arbiter === row.node) refuse('CONFLICT', 'a node is never its own arbiter')
  const node = context.draft.get('nodes', row.node)
  const switchedOff = row.attempts.findLast(isSwitchedOff)
  // What switched it off is what can switch it on.
  const devices = (order.action === 'on' ? switchedOff?.devices : node?.fencing.levels[order.level]) ?? []
  const begun: Attempt = {
    ...order,
    arbiterBoot: context.currentBoot(order.arbiter)?.boot ?? null,
    boot: row.boot,
    devices,
    devicesRevision: node?.revision ?? logIndex(0),
    timeout: Math.max(1_000, ...devices.map((device) => device.timeout)),
    distrusted: order.action === 'on' ? null : (node?.deviceDistrusted ?? null),
    state: 'open',
    detail: '',
    at: context.at,
    endedAt: null,
  }
  context.putCase({ ...row, arbiter: order.arbiter, attempts: [...row.attempts, begun] })
  context.event(
    'case.attempt',
    row.node,
    `attempt ${order.number}: ${order.arbiter} is to switch ${row.node} ${order.action} (level ${order.level})`,
    { case: row.id, number: order.number },
  )
}

export function attemptResult(context: Context, command: CommandOf<'attempt-result'>): Value {
  const row = context.case(command.caseId)
  const open = row.attempts.find((candidate) => candidate.number === command.number)
  if (open === undefined || open.state !== 'open' || open.arbiter !== command.arbiter)
    refuse('CONFLICT', `attempt ${command.number} of case ${row.id} is not open for ${command.arbiter}`)
  // A change of the node's devices meanwhile gives no trust to those that were called.
  const distrusted = open.action === 'on' ? null : (open.distrusted ?? context.draft.get('nodes', row.node)?.deviceDistrusted ?? null)
  const confirmed = command.confirmed && distrusted === null
  const detail = command.confirmed && distrusted !== null ? `the device says off, and is not believed: ${distrusted}` : command.detail
  const after = endAttempt(context, row, open, confirmed ? 'confirmed' : 'failed', detail)
  if (!confirmed || open.action === 'on') return {}
  const boot = context.boot(row.node, row.boot)
  const disks = storageOf(open.devices)
  if (boot !== undefined && disks !== undefined && isCutOffLate(context, after, boot))
    return cutOff(context, after, boot, `taken by ${open.arbiter} (${command.detail})`, disks)
  if (boot === undefined || after.stage !== 'CONDEMNED') return {}
  if (disks !== undefined) return cutOff(context, after, boot, `taken by ${open.arbiter} (${command.detail})`, disks)
  proveBoot(context, boot, 'fenced', row.id, `its fence device, called by ${open.arbiter}, confirms it is off (${command.detail})`)
  return {}
}

/** The node is without power by this attempt, and not merely without its storage. */
export function isSwitchedOff(attempt: Attempt): boolean {
  return attempt.action === 'off' && attempt.state === 'confirmed' && storageOf(attempt.devices) === undefined
}

/** Its guardian or its lease came first: a person who has asked for it wants the node away all the same, until it is started anew. */
function isCutOffLate(context: Context, row: CaseRow, boot: BootRow): boolean {
  const { proof } = boot
  const sealed = boot.state === 'ended' && proof?.caseId === row.id && (proof.kind === 'guardian' || proof.kind === 'lease')
  return sealed && row.stage === 'PROVED' && context.runningOperations(row.node).some(({ kind }) => kind === 'fence')
}

/**
 * Its key is gone from these disks, under an exclusive reservation: that ends the tokens of the groups that live there whole. For
 * others it is a step on the way, and the case goes on.
 */
function cutOff(context: Context, row: CaseRow, boot: BootRow, how: string, disks: readonly DiskName[]): Value {
  const detail = `its key is gone from ${disks.join(' and ')}, ${how}`
  const groups = heldOn(context, row, disks)
  const proof: Proof = { kind: 'storage', index: context.index, at: context.at, boot: boot.boot, caseId: row.id, detail }
  for (const group of groups) prove(context, group, proof)
  const timeline = [...row.timeline, { stage: 'CUT OFF', at: context.at, wall: context.wall, detail }]
  context.putCase({ ...row, timeline })
  context.event('node.cut-off', row.node, `${row.node} is cut off from its storage: ${detail}`, { case: row.id, disks })
  if (heldBy(context.draft, row.node, row.boot).length > 0) return { proved: groups.map(({ name }) => name) }
  proveBoot(context, boot, 'storage', row.id, detail)
  endFenceOperations(context, row.node, detail)
  return { proved: groups.map(({ name }) => name) }
}

export function abandonAttempt(context: Context, command: CommandOf<'abandon-attempt'>): Value {
  const row = context.case(command.caseId)
  const open = row.attempts.find((candidate) => candidate.number === command.number)
  if (open === undefined || open.state !== 'open') refuse('CONFLICT', `attempt ${command.number} of case ${row.id} is not open`)
  if (command.judgedTerm !== context.term) refuse('CONFLICT', 'another leader judged this')
  endAttempt(context, row, open, 'abandoned', command.reason)
  return {}
}

function endAttempt(context: Context, row: CaseRow, open: Attempt, state: Attempt['state'], detail: string): CaseRow {
  const ended = { ...open, state, detail, endedAt: context.at }
  const after = { ...row, attempts: row.attempts.map((candidate) => (candidate.number === open.number ? ended : candidate)) }
  context.putCase(after)
  context.event(`case.attempt-${state}`, row.node, `attempt ${open.number} (${open.action}) ${state}: ${detail}`, {
    case: row.id,
    number: open.number,
  })
  if (state === 'confirmed' && storageOf(open.devices) === undefined) endFenceOperations(context, row.node, detail)
  return after
}

function endFenceOperations(context: Context, node: NodeId, detail: string): void {
  for (const operation of context.runningOperations(node))
    if (operation.kind === 'fence') context.endOperation(operation.id, 'done', `${node} is fenced: ${detail}`)
}

export function recoverCase(context: Context, command: CommandOf<'recover-case'>): Value {
  const row = context.case(command.caseId)
  if (row.stage !== 'PROVED') refuse('CONFLICT', `case ${row.id} is ${row.stage}`)
  if (row.attempts.some((open) => open.state === 'open')) refuse('CONFLICT', `case ${row.id} has an open attempt`)
  const timeline = [...row.timeline, { stage: 'RECOVERED', at: context.at, wall: context.wall, detail: command.conclusion }]
  context.putCase({ ...row, stage: 'RECOVERED', closedAt: context.at, conclusion: command.conclusion, timeline })
  context.event('case.recovered', row.node, `case of ${row.node} is over: ${command.conclusion}`, { case: row.id })
  return {}
}

export function readmit(context: Context, command: CommandOf<'readmit'>): Value {
  const boot = context.boot(command.node, command.boot)
  if (boot === undefined || boot.state !== 'condemned') refuse('CONFLICT', `${command.node} has no condemned boot ${command.boot}`)
  if (heldBy(context.draft, command.node, command.boot).length > 0) refuse('CONFLICT', `tokens of ${command.node} have not ended`)
  const row = openCaseOf(context.draft, command.node)
  if (row?.attempts.some((open) => open.state === 'open') === true) refuse('CONFLICT', 'a call to the fence device is not over')
  context.putBoot({ ...boot, state: 'live', condemned: null, probes: {} })
  forgetNotes(context, command.node)
  if (row !== undefined) close(context, row, command.reason)
  context.event('node.readmitted', command.node, `${command.node} is admitted again: ${command.reason}`, { boot: command.boot })
  return {}
}

/** The holder's guardian states what it has sealed and verified: proves these tokens and no others. */
export function guardianProof(context: Context, command: CommandOf<'guardian-proof'>): Value {
  const row = context.case(command.caseId)
  if (row.node !== command.node || row.boot !== command.boot || row.nonce !== command.nonce)
    refuse('PROOF_REFUSED', 'the statement is not of this case')
  if (row.trigger === recoveredTrigger) refuse('PROOF_REFUSED', `what ${row.node} ran before the recovery is known to nobody here`)
  if (row.stage !== 'CHALLENGE' && row.stage !== 'CONDEMNED') refuse('PROOF_REFUSED', `case ${row.id} is ${row.stage}`)
  if (!command.verified) refuse('PROOF_REFUSED', 'the guardian could not verify that everything has stopped')
  const boot = context.boot(command.node, command.boot)
  if (boot === undefined || boot.state === 'ended') refuse('PROOF_REFUSED', `${command.node} has no such boot`)
  refuseDetached(boot)
  const proof: Proof = {
    kind: 'guardian',
    index: context.index,
    at: context.at,
    boot: boot.boot,
    caseId: row.id,
    detail: `the guardian of ${row.node} has sealed and stopped it`,
  }
  const proved: string[] = []
  for (const group of context.groups()) {
    if (!mayStillRun(group) || group.holder.node !== boot.node || group.holder.boot !== boot.boot) continue
    if ((command.tokens[group.name] ?? 0) < group.holder.token) continue
    prove(context, group, proof)
    proved.push(group.name)
  }
  if (heldBy(context.draft, boot.node, boot.boot).length === 0) proveBoot(context, boot, 'guardian', row.id, proof.detail)
  else if (proved.length === 0) refuse('PROOF_REFUSED', 'the statement names no open token of this boot')
  return { proved }
}

export function leaseProof(context: Context, command: CommandOf<'lease-proof'>): Value {
  if (openCaseOf(context.draft, command.node)?.trigger === recoveredTrigger)
    refuse('PROOF_REFUSED', `leases from before the recovery say nothing about ${command.node}`)
  const boot = context.boot(command.node, command.boot)
  if (boot === undefined || boot.state !== 'condemned' || boot.condemned === null)
    refuse('PROOF_REFUSED', `${command.node} has no condemned boot ${command.boot}`)
  refuseDetached(boot)
  if (boot.condemned.index >= context.index || boot.condemned.term > command.judgedTerm)
    refuse('PROOF_REFUSED', 'it was condemned later than its lease was judged')
  if (command.judgedTerm !== context.term) refuse('PROOF_REFUSED', 'another leader judged this')
  const guarded = boot.guard.guarded && (boot.guard.watchdog === 'armed' || context.settings.acceptGuardianLease)
  if (!guarded) refuse('PROOF_REFUSED', `${command.node} has no armed watchdog`, { fix: 'fence it by a device, or acknowledge the case' })
  const detail = `its lease ran out ${command.waitedMs} ms ago at the latest, and its watchdog with it`
  const held = heldBy(context.draft, boot.node, boot.boot).map((name) => context.group(name))
  const goOn = held.filter((group) => group.holder !== null && outlastsLease(group.holder.pinned))
  if (goOn.length > 0) return leaseOver(context, boot, held, detail)
  proveBoot(context, boot, 'lease', boot.condemned.caseId, detail)
  return {}
}

/** While its guardian is suspended, nothing there ends with a lease (DESIGN: maintenance, detached). */
function refuseDetached(boot: BootRow): void {
  if (boot.detached === undefined) return
  refuse('PROOF_REFUSED', `the guardian of ${boot.node} is suspended: what runs there goes on without a lease`, {
    fix: 'fence it by a device, or acknowledge the case',
  })
}

/** Copies go on there without a lease: it ends the tokens of everything else, and the case goes on for theirs. */
function leaseOver(context: Context, boot: BootRow, held: readonly GroupRow[], detail: string): Value {
  const ended = held.filter(mayStillRun).filter(({ holder }) => !outlastsLease(holder.pinned))
  if (ended.length === 0) refuse('PROOF_REFUSED', `what ${boot.node} still holds goes on there without a lease`)
  const caseId = boot.condemned?.caseId ?? null
  const proof: Proof = { kind: 'lease', index: context.index, at: context.at, boot: boot.boot, caseId, detail }
  for (const group of ended) prove(context, group, proof)
  const row = caseId === null ? undefined : context.draft.get('cases', caseId)
  const timeline = [...(row?.timeline ?? []), { stage: 'LEASE OVER', at: context.at, wall: context.wall, detail }]
  if (row !== undefined) context.putCase({ ...row, timeline })
  return { proved: ended.map(({ name }) => name) }
}

export function operatorProof(context: Context, command: CommandOf<'operator-proof'>): Value {
  const row = context.case(command.caseId)
  if (command.node !== row.node)
    refuse('INVALID', `case ${row.id} is of node ${row.node}, the request names "${command.node}"`, {
      fix: `type the node's name: {"node":"${row.node}","reason":"…"}`,
    })
  const boot = context.boot(row.node, row.boot)
  if (row.stage !== 'CONDEMNED' || boot === undefined || boot.state !== 'condemned') {
    refuse('CONFLICT', `${row.node} is not condemned (case ${row.id} is ${row.stage})`, {
      fix: `GET /v1/cases/${row.id} shows where it stands`,
    })
  }
  if (!command.unheard)
    refuse('CONFLICT', `${row.node} has been heard within the lease time`, {
      fix: 'make sure that it is off; wait until nothing is heard of it for the lease time; then repeat',
    })
  proveBoot(context, boot, 'operator', row.id, `${command.by} states that it is off: ${command.reason}`)
  return {}
}
