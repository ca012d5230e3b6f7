/** What needs a person: each thing in one sentence, with the next step. Derived from the state, never stored. */
import type { LogTime } from '../../base/index.js'
import {
  brakesOf,
  type CaseRow,
  currentBoot,
  disksOf,
  type Freeze,
  freezesOf,
  groupsOf,
  heldBy,
  type Lapsed,
  levelInForce,
  mayStillRun,
  type NodeRow,
  nodesOf,
  offlineProbeOf,
  openCaseOf,
  openCases,
  outlastsLease,
  poisonOf,
  settingsOf,
  whyCaseHeld,
} from '../../core/cluster/index.js'
import type { View } from '../cluster/reading.js'
import { nextStep } from './case.js'
import { presentGroup } from './group.js'
import { presentNode } from './node.js'
import { isCutOff } from './protection.js'
import { elapsed, remaining } from './times.js'

export interface AttentionItem {
  readonly code: string
  readonly subject: string
  readonly text: string
  readonly fix: string
}

export interface Surroundings {
  readonly insecure: boolean
  readonly turnedAway: readonly { readonly address: string; readonly reason: string; readonly at: number }[]
}

const turnedAwayShown = 600_000
/** Of log time: how long before its end a freeze is told, and how long after it. */
const endsSoon = 300_000
const lapsedShown = 3_600_000

export function attentionOf(view: View, around: Surroundings): readonly AttentionItem[] {
  return [
    ...ofCluster(view, around),
    ...ofCases(view),
    ...ofGroups(view),
    ...ofNodes(view),
    ...ofDisks(view),
    ...ofDetached(view),
    ...ofFreezes(view),
  ]
}

function ofCluster(view: View, around: Surroundings): readonly AttentionItem[] {
  const items: AttentionItem[] = []
  const { status } = view.node
  if (!view.quorate) {
    const silent = view.node.detectorReport().filter((report) => report.stage !== 'HEALTHY' && report.stage !== 'MISSED')
    const names = silent.map((report) => report.node).join(', ')
    items.push({
      code: 'NO_QUORUM',
      subject: 'cluster',
      text: `there is no quorum: ${names === '' ? 'no leader is known' : `nothing is heard of ${names}`}; groups stop when their lease runs out`,
      fix:
        names === '' ? 'wait a moment for an election; GET /v1/links shows who hears whom' : `bring ${names} back, or the network to them`,
    })
  }
  const { holds, causes } = brakesOf(view.state, view.at)
  if (holds.length > 0) {
    const last = causes.at(-1)
    items.push({
      code: 'BRAKES',
      subject: 'cluster',
      text: `the brakes hold: ${holds.join('; ')}; nothing further begins on its own${last === undefined ? '' : `, the last was: ${last.text}`}`,
      fix: 'GET /v1/brakes lists what happened; once that is understood POST /v1/brakes/release {"reason":"…"}',
    })
  }
  if (around.insecure) {
    items.push({
      code: 'INSECURE_LISTENER',
      subject: status.node,
      text: `the API of ${status.node} listens on TCP without keys: whoever reaches the port is admin`,
      fix: 'take api.listen out of the node’s file and use the unix socket, or keep the port from strangers',
    })
  }
  for (const { address, reason } of around.turnedAway.filter((one) => Date.now() - one.at < turnedAwayShown).slice(-3))
    items.push({
      code: 'PEER_TURNED_AWAY',
      subject: address,
      text: `${address} was turned away: ${reason}`,
      fix: 'check the secret, the cluster name and the version there',
    })
  return items
}

function ofCases(view: View): readonly AttentionItem[] {
  return openCases(view.state).flatMap((row) => {
    const step = nextStep(row)
    if (step === null || row.attempts.some((attempt) => attempt.state === 'open')) return []
    const needed = view.leaderView?.needed.has(row.node) === true
    if (needed) {
      const text = `${row.node} is condemned and not cut off: the voters left would be no quorum; ${waitingOf(view, row)}`
      return [{ code: 'FENCE_WAITS', subject: row.node, text, fix: `bring other nodes back; ${step}` }]
    }
    const held = row.stage === 'CONDEMNED' ? whyCaseHeld(view.state, row, view.at) : undefined
    if (held !== undefined && (view.state.get('nodes', row.node)?.fencing.levels.length ?? 0) > 0) {
      const text = `${row.node} is condemned and not cut off, for the brakes hold: ${held}; ${waitingOf(view, row)}`
      const byHand = `POST /v1/nodes/${row.node}/fence {"node":"${row.node}","reason":"…"} cuts it off, POST /v1/brakes/release {"reason":"…"} lets all go on`
      return [{ code: 'BRAKES_HOLD', subject: row.node, text, fix: `${byHand}; ${step}` }]
    }
    const failed = row.attempts.filter((attempt) => attempt.state === 'failed').at(-1)
    const why = failed === undefined ? 'it has no fence device that was called' : `its fence device failed: ${failed.detail}`
    const text = `${row.node} is condemned and not proved off (${why}); ${waitingOf(view, row)}`
    return [{ code: 'PROOF_MISSING', subject: row.node, text, fix: step }]
  })
}

/** Nothing but a device, or a person, could say of such a node that it has stopped. */
function ofDetached(view: View): readonly AttentionItem[] {
  return nodesOf(view.state).flatMap(({ name, maintenance }) => {
    const boot = currentBoot(view.state, name)
    if (boot?.detached === undefined || boot.state === 'ended') return []
    const isWanted = maintenance?.detached === true
    const told = boot.suspended === true ? 'is suspended by maintenance' : 'has not said yet that it is suspended by maintenance'
    const what = isWanted ? told : 'was suspended by maintenance, and has not said yet that it guards again'
    return [
      {
        code: 'DETACHED',
        subject: name,
        text: `the guardian of ${name} ${what}: what runs there goes on without a lease, and its loss is proved by a fence device or a person only`,
        fix: isWanted ? `POST /v1/nodes/${name}/maintenance {"end": true}` : `see that Quorate runs on ${name} and reaches the others`,
      },
    ]
  })
}

/** A freeze that nobody thinks of any more is as bad as one that ended while somebody was still at work. */
function ofFreezes(view: View): readonly AttentionItem[] {
  const of = (code: string, subject: string, what: string, freeze: Freeze | undefined, lapsed: Lapsed | undefined, again: string) => [
    ...(freeze === undefined || freeze.until - view.at > endsSoon
      ? []
      : [endingSoon(view.at, `${code}_ENDS`, subject, what, freeze, again)]),
    ...(lapsed === undefined || view.at - lapsed.at > lapsedShown
      ? []
      : [hasEnded(view.at, `${code}_ENDED`, subject, what, lapsed, again)]),
  ]
  return [
    ...nodesOf(view.state).flatMap(({ name, maintenance, lapsed }) =>
      of(
        'MAINTENANCE',
        name,
        `the maintenance of ${name}`,
        maintenance,
        lapsed,
        `POST /v1/nodes/${name}/maintenance {"for": …, "reason": …}`,
      ),
    ),
    ...groupsOf(view.state).flatMap(({ name, frozen, lapsed }) =>
      of('FREEZE', name, `the freeze of ${name}`, frozen ?? undefined, lapsed, `POST /v1/groups/${name}/freeze {"for": …, "reason": …}`),
    ),
  ]
}

function endingSoon(at: LogTime, code: string, subject: string, what: string, freeze: Freeze, again: string): AttentionItem {
  const text = `${what} by ${freeze.owner} (${freeze.reason}) ends in ${remaining(freeze.until, at)}: then what it is about is looked after again`
  return { code, subject, text, fix: `be done by then, or extend it: ${again}` }
}

function hasEnded(at: LogTime, code: string, subject: string, what: string, lapsed: Lapsed, again: string): AttentionItem {
  const text = `${what} by ${lapsed.owner} (${lapsed.reason}) ended by itself ${elapsed(lapsed.at, at)} ago`
  const kind = code === 'FREEZE_ENDED' ? 'groups' : 'nodes'
  return { code, subject, text, fix: `if work goes on there, ${again}; else POST /v1/${kind}/${subject}/clear` }
}

function waitingOf({ state }: View, { groups, node, boot }: CaseRow): string {
  if (groups.length === 0) return 'it held no groups'
  const left = heldBy(state, node, boot)
  if (left.length === 0) return 'what it held has ended'
  const waits = `${left.join(', ')} wait${left.length === 1 ? 's' : ''} for it`
  const goOn = left.filter((name) => outlastsLease(state.get('groups', name)?.holder?.pinned ?? {}))
  return goOn.length === 0 ? waits : `${waits}; ${goOn.join(', ')} may go on there without a lease`
}

function ofGroups(view: View): readonly AttentionItem[] {
  return groupsOf(view.state).flatMap((group) => {
    const { state, waitingFor } = presentGroup(view, group)
    if (state === 'POISON') {
      const whole = group.part?.of ?? group.name
      const text = `${group.name} rests: ${poisonOf(view.state, group)?.reason}`
      return [{ code: 'GROUP_POISON', subject: group.name, text, fix: `find out why, then POST /v1/groups/${whole}/clear` }]
    }
    if (state !== 'UNKNOWN' && state !== 'FAILED' && state !== 'BLOCKED' && state !== 'DEGRADED') return []
    const { holder } = group
    const resources = Object.entries(holder?.report.resources ?? {})
    const degraded = resources.find(([, one]) => one.degraded === true)
    if (state === 'DEGRADED' && waitingFor === null && degraded !== undefined) {
      const [name, { detail = 'it is degraded' }] = degraded
      const text = `${name} of ${group.name} on ${holder?.node} runs, and not well: ${detail}`
      return [{ code: 'GROUP_DEGRADED', subject: group.name, text, fix: `GET /v1/groups/${group.name}/resources/${name}/log` }]
    }
    const text =
      waitingFor ??
      (state === 'UNKNOWN' ? `whether ${group.name} runs on ${holder?.node} cannot be said` : `a resource of ${group.name} is not well`)
    const [freeze] = freezesOf(view.state, group)
    const thaw =
      freeze?.node === undefined ? `POST /v1/groups/${group.name}/unfreeze` : `POST /v1/nodes/${freeze.node}/maintenance {"end": true}`
    if (freeze !== undefined)
      return [{ code: `GROUP_${state}`, subject: group.name, text: String(text), fix: `${thaw} to have it looked after` }]
    const fix =
      state === 'DEGRADED' || (state === 'FAILED' && (!mayStillRun(group) || waitingFor !== null))
        ? `POST /v1/groups/${group.name}/clear once the cause is gone`
        : `GET /v1/groups/${group.name}/why`
    return [{ code: `GROUP_${state}`, subject: group.name, text: String(text), fix }]
  })
}

/** A node that does not stand on a shared disk is granted nothing that lives there, and cannot be told from a dead one by it. */
function ofDisks(view: View): readonly AttentionItem[] {
  return disksOf(view.state).flatMap(({ name, place, definition }) => {
    const without = nodesOf(view.state).flatMap(({ name: node }) => {
      const boot = currentBoot(view.state, node)
      const told = boot?.disks?.[name]
      return boot?.state === 'live' && told?.ready === false && told.place === place ? [`${node} (${told.detail})`] : []
    })
    if (without.length === 0) return []
    const follows = definition.use === 'storage' ? 'what lives there does not start on it' : 'a challenge is not answered there'
    return [
      {
        code: 'DISK_LOST',
        subject: name,
        text: `on the shared disk ${name} the key does not stand of ${without.join(', ')}: ${follows}`,
        fix: `GET /v1/disks/${name} shows what each node meets; look at the paths to the disk`,
      },
    ]
  })
}

function flaps(view: View, row: NodeRow): boolean {
  const { quarantineThreshold, quarantineWindow } = settingsOf(view.state)
  const recent = (row.losses ?? []).filter(({ at }) => at > view.at - quarantineWindow).length
  return quarantineThreshold > 0 && recent >= quarantineThreshold
}

function notHere(view: View, node: string): string {
  if (view.leaderView?.held.has(node) !== true) return `${node} is not here`
  return `${node} is silent, and its guardian answers: it is held until its lease is over, and its services run on`
}

function ofNodes(view: View): readonly AttentionItem[] {
  const all = nodesOf(view.state)
  return all.flatMap((row) => {
    const items: AttentionItem[] = []
    const add = (code: string, text: string, fix: string): void => void items.push({ code, subject: row.name, text, fix })
    const boot = currentBoot(view.state, row.name)
    const { state } = presentNode(view, row)
    if (state === 'DOWN' || state === 'SILENT' || (state === 'JOINING' && view.quorate))
      add(`NODE_${state}`, notHere(view, row.name), `start it, or look at its log; GET /v1/nodes/${row.name} shows what is known`)
    if (boot?.state === 'ended' && boot.proof?.kind === 'storage')
      add(
        'STORAGE_FENCED',
        `${row.name} is cut off from its storage and may be running on: it is taken in again with its next boot`,
        `start the machine ${row.name} anew`,
      )
    if (boot?.state === 'live' && !boot.guard.guarded)
      add(
        'UNGUARDED',
        `nothing ends the services of ${row.name} if it loses contact: it takes no new groups`,
        `start its guardian: systemctl start quorate on ${row.name}`,
      )
    if (row.fencing.levels.length === 0 && all.length > 1)
      add(
        'NO_FENCING',
        `${row.name} has no fence device: if it is lost, its groups wait for a person`,
        `PATCH /v1/nodes/${row.name} {"fencing": …}`,
      )
    const failing = Object.entries(view.node.pathsTo(row.name)).flatMap(([from, state]) =>
      state === 'failed' || state === 'lies' ? [from] : [],
    )
    if (isCutOff(view, row))
      add(
        'UNPROTECTED',
        `no other node can reach the fence devices of ${row.name}: if it is lost, its groups wait`,
        `GET /v1/nodes/${row.name}/fencing has what each of them met`,
      )
    else if (failing.length > 0)
      add(
        'FENCE_PATH',
        `${failing.join(' and ')} cannot reach the fence devices of ${row.name}`,
        `GET /v1/nodes/${row.name}/fencing has what was met; POST /v1/nodes/${row.name}/fencing/test reads them anew`,
      )
    if (row.deviceDistrusted !== null)
      add(
        'DEVICE_DISTRUSTED',
        `the fence device of ${row.name} is not believed: ${row.deviceDistrusted}`,
        `test the device, then POST /v1/nodes/${row.name}/clear`,
      )
    if (row.monitor !== undefined && row.monitor.what !== 'back' && row.monitor.what !== 'well')
      add(
        'MONITOR',
        `the monitor of ${row.name}: ${row.monitor.detail}`,
        `look at monitor.log and guardian.log there; services are not touched by it`,
      )
    if (boot?.state === 'live' && boot.level < levelInForce(view.state))
      add(
        'OLD_MONITOR',
        `what runs on ${row.name} understands feature level ${boot.level}, the cluster has ${levelInForce(view.state)}: its monitor or guardian is of an earlier version`,
        `end the monitor process there (its guardian starts the present one), and hand the guardian over (SIGHUP); what they keep runs on`,
      )
    for (const [name, probe] of Object.entries(boot?.probes ?? {})) {
      const group = view.state.get('groups', name)
      const isThere = probe.result === 'running' || probe.ran === true
      if (!isThere || group === undefined || group.holder?.node === row.name) continue
      const text = `something of ${name} ${probe.ran === true ? 'ran' : 'runs'} on ${row.name} without a grant`
      if (!mayStillRun(group)) add('STRAY', text, `stop it there; ${probe.detail}`)
      else if (
        offlineProbeOf(group.definition).onFound === 'block' ||
        freezesOf(view.state, group).length > 0 ||
        row.maintenance !== undefined
      )
        add('TWO_COPIES', `${text}, while ${group.holder.node} holds it`, `stop it there; ${probe.detail}`)
      else add('TWO_COPIES', `${text}, while ${group.holder.node} holds it: it is being stopped`, `look there if it stays; ${probe.detail}`)
    }
    if (row.quarantine !== undefined)
      add(
        'QUARANTINE',
        `${row.name} votes and hosts nothing for another ${remaining(row.quarantine.until, view.at)}: ${row.quarantine.reason} (${row.quarantine.cases.join(', ')})`,
        `find out why, then POST /v1/nodes/${row.name}/clear {"reason":"…"}`,
      )
    else if (flaps(view, row))
      add(
        'NODE_FLAPS',
        `${row.name} was lost ${row.losses?.length} times lately and is not in quarantine: no further node may be`,
        `find out why; POST /v1/nodes/${row.name}/standby takes its groups away, POST /v1/nodes/${row.name}/clear forgets it`,
      )
    if (row.evicted !== undefined)
      add(
        'EVICTED',
        `${row.name} hosts nothing since ${row.evicted.group} failed there ${elapsed(row.evicted.at, view.at)} ago: ${row.evicted.reason}`,
        `find out why, then POST /v1/nodes/${row.name}/activate`,
      )
    if (row.jeopardy !== undefined)
      add(
        'JEOPARDY',
        `${row.name} is in jeopardy: ${row.jeopardy.reasons.join('; ')}`,
        'look at cables and switches; GET /v1/links shows who hears whom',
      )
    const asked = [...view.state.rows('operations')].find(
      ([, one]) => one.kind === 'fence' && one.status === 'running' && one.subject === row.name,
    )
    const open = openCaseOf(view.state, row.name)
    const waits = open === undefined || (open.stage === 'CHALLENGE' && view.leaderView?.needed.has(row.name) === true)
    if (asked !== undefined && waits)
      add(
        'FENCE_WAITS',
        `${row.name} is to be fenced, and is not: the voters left would be no quorum, or the lead has to be handed over first`,
        `bring other nodes back, or DELETE /v1/operations/${asked[0]}`,
      )
    return items
  })
}
