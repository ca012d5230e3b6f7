/**
 * Puts what is installed now in the place of what runs: a node's monitor, daemon and guardian are ended one after the other, and
 * started again by each other. Services run on; the next is touched only when all is well again, within the lease of what runs.
 */
import { type BootId, ClusterError } from '../base/index.js'
import { isAlive, pause, signalProcess } from '../io/processes/index.js'
import type { ProcessRole, RunFolder } from '../io/run-folder/index.js'

export interface ReplaceDoors {
  readonly runFolder: RunFolder
  readonly boot: BootId
  /** Why the node is not well: its lease, its guardian, its monitor; undefined when it is. */
  whyNotReady(): Promise<string | undefined>
  /** Hands the lead to another node, if this one has it. */
  giveUpLead(): Promise<void>
  say(text: string): void
}

/** How each of them is asked to go for somebody who comes after it. */
function farewells({ runFolder, boot }: ReplaceDoors): readonly (readonly [ProcessRole, NodeJS.Signals])[] {
  const own = runFolder.readMonitors(boot).map((group) => [`monitor@${group}`, 'SIGTERM'] as const)
  return [['monitor', 'SIGTERM'], ...own, ['daemon', 'SIGHUP'], ['guardian', 'SIGHUP']]
}
const lookEvery = 50
/** For one of them to be gone, back, and known to the others, in milliseconds. */
const patience = 60_000
/** It is well for so long before the next one goes, in milliseconds. */
const settles = 1_000

/** Errors: CONFLICT when the node is not well, or a process does not come back; what was not touched by then runs on as it was. */
export async function replaceSoftware(doors: ReplaceDoors): Promise<void> {
  const ill = await doors.whyNotReady()
  if (ill !== undefined)
    throw new ClusterError('CONFLICT', `nothing was touched, for the node is not well: ${ill}`, {
      fix: 'quorate attention says what is missing',
    })
  for (const [role, signal] of farewells(doors)) {
    const before = doors.runFolder.readPid(role)
    if (before === undefined || !isAlive(before))
      throw new ClusterError('CONFLICT', `the ${role} of this node is not running`, { fix: 'wait until the node is ONLINE, and try again' })
    if (role === 'daemon') await doors.giveUpLead()
    const began = performance.now()
    signalProcess(before, signal)
    const pid = await successor(doors, role, before.pid)
    doors.say(`${role}: pid ${before.pid} has made room for ${pid}, ${Math.round(performance.now() - began)} ms`)
  }
}

async function successor({ runFolder, whyNotReady }: ReplaceDoors, role: ProcessRole, before: number): Promise<number> {
  const end = performance.now() + patience
  let why: string | undefined = 'it does not end'
  for (let wellSince: number | undefined; performance.now() < end; await pause(lookEvery)) {
    const now = runFolder.readPid(role)
    why = now === undefined || now.pid === before || !isAlive(now) ? `there is no new ${role} yet` : await whyNotReady()
    wellSince = why === undefined ? (wellSince ?? performance.now()) : undefined
    if (now !== undefined && wellSince !== undefined && performance.now() - wellSince >= settles) return now.pid
  }
  throw new ClusterError('CONFLICT', `the ${role} was told to make room, and after ${patience / 1_000} s the node is not well: ${why}`, {
    fix: `look at its log, ${role}.log; what was not replaced yet runs on as it was`,
  })
}
