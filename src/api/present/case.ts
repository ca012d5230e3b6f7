/** Cases as the API shows them, with what a person can do. */
import type { CaseRow } from '../../core/cluster/index.js'
import { onTheWall } from './times.js'

type Shown = Record<string, unknown>

export function presentCase(row: CaseRow): Shown {
  const { id, node, boot, stage, trigger, arbiter, groups, proof, conclusion } = row
  return {
    id,
    node,
    boot,
    stage,
    trigger,
    arbiter,
    openedAt: onTheWall(row.openedWall),
    groups,
    proof,
    conclusion,
    attempts: row.attempts.map(({ devices, ...attempt }) => ({ ...attempt, devices: devices.map((device) => device.agent) })),
    timings: timingsOf(row),
    next: nextStep(row),
  }
}

export function presentCaseWhole(row: CaseRow): Shown {
  const timeline = row.timeline.map(({ stage, at, wall, detail }) => ({ stage, afterMs: at - row.openedAt, at: onTheWall(wall), detail }))
  return { ...presentCase(row), openedIndex: row.openedIndex, openedTerm: row.openedTerm, dossier: row.dossier, timeline }
}

/** Milliseconds of log time from the challenge to each stage. */
function timingsOf(row: CaseRow): Shown {
  return Object.fromEntries(row.timeline.map(({ stage, at }) => [stage, Math.round(at - row.openedAt)]))
}

/** Undefined proof is what groups wait for: how to give it. */
export function nextStep(row: CaseRow): string | null {
  if (row.stage !== 'CONDEMNED') return null
  return `if ${row.node} is surely off: POST /v1/cases/${row.id}/acknowledge {"node":"${row.node}","reason":"…"}`
}
