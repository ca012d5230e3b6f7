/** What the exit status of an OCF agent means to us (OCF 1.1 resource agent API, exit status codes). */
import type { FailureSeverity } from '../cluster/index.js'
import type { MethodResult } from './verdict.js'

interface Meaning {
  readonly text: string
  /** Left out where another try on the same node may well succeed. */
  readonly severity?: FailureSeverity
}

const meanings: Readonly<Record<number, Meaning>> = {
  0: { text: 'success' },
  1: { text: 'generic error' },
  // A parameter that is wrong on this machine, such as a file that is not here, may be right on another.
  2: { text: 'wrong arguments', severity: 'hard' },
  3: { text: 'action not implemented', severity: 'hard' },
  4: { text: 'insufficient privileges', severity: 'hard' },
  5: { text: 'not installed', severity: 'hard' },
  // The parameters contradict themselves: they would anywhere.
  6: { text: 'not configured', severity: 'fatal' },
  7: { text: 'not running' },
  8: { text: 'running promoted' },
  9: { text: 'failed while promoted' },
  190: { text: 'running, degraded' },
  191: { text: 'running promoted, degraded' },
}

export type OcfMethod = 'migrate' | 'start' | 'stop' | 'probe' | 'reload'

export function ocfMeaning(code: number): string {
  return meanings[code]?.text ?? 'a status that OCF does not know'
}

/** The outcome of an action by its status; an agent's own text is added by who has it. */
export function judgeOcfStatus(method: OcfMethod, code: number): MethodResult {
  const severity = meanings[code]?.severity
  const failed: MethodResult = {
    outcome: 'failed',
    detail: `the agent answered ${code} (${ocfMeaning(code)})`,
    ...(severity === undefined ? {} : { severity }),
  }
  switch (method) {
    case 'start':
    case 'reload':
    case 'migrate':
      return code === 0 ? { outcome: 'done' } : failed
    case 'stop':
      // "Not running" is what a stop is for; the probe that follows has the last word.
      return code === 0 || code === 7 ? { outcome: 'done' } : failed
    case 'probe':
      if (code === 0 || code === 8) return { outcome: 'running' }
      if (code === 190 || code === 191) return { outcome: 'running', degraded: true }
      return code === 7 ? { outcome: 'stopped' } : failed
  }
}

/** Of the primary role of a copy: to start is to promote, to stop to demote, and a replica has stopped being the primary. */
export function judgeRoleStatus(method: 'start' | 'stop' | 'probe', code: number): MethodResult {
  if (method !== 'probe') return judgeOcfStatus(method, code)
  if (code === 8) return { outcome: 'running' }
  if (code === 191) return { outcome: 'running', degraded: true }
  return code === 0 || code === 190 || code === 7 ? { outcome: 'stopped' } : judgeOcfStatus(method, code)
}

/** Agents say why they answered as they did after this word (`ocf_exit_reason`). */
export const exitReasonPrefix = 'ocf-exit-reason:'

/** The last reason that the agent gave; undefined when it gave none. */
export function exitReasonOf(stderr: string): string | undefined {
  const reasons = stderr.split('\n').filter((line) => line.startsWith(exitReasonPrefix))
  const last = reasons.at(-1)?.slice(exitReasonPrefix.length).trim()
  return last === '' ? undefined : last
}
