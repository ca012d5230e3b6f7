/** What the answer of a probe means, by the reason for which it was asked. The truth table of the monitor. */
import type { FailureSeverity } from '../cluster/index.js'
import type { ResourceFailure } from './protocol.js'

/** Outcome of one method. `running` and `stopped` come from probes, `done` from everything else. */
export type MethodResult =
  | {
      readonly outcome: 'done' | 'running' | 'stopped' | 'cancelled'
      /** What an administrator should know all the same, of a start that is done or of what a probe found. */
      readonly note?: string
      /** Of a probe that found it running: not as well as it should. */
      readonly degraded?: true
      /** Of a probe that found it stopped: it could not run here, for what `note` says is missing. */
      readonly unable?: true
    }
  | {
      readonly outcome: 'failed' | 'timed-out'
      readonly detail: string
      readonly severity?: FailureSeverity
      /** Of a start: no program of it was begun, so nothing of it can be there. */
      readonly nothingBegun?: true
    }
  /** The seal or the deadline was in the way just before the spawn: nothing was started. */
  | { readonly outcome: 'refused'; readonly detail: string; readonly because: 'sealed' | 'deadline' }

export type ProbePurpose =
  /** It is ONLINE and its interval has passed. */
  | 'periodic'
  /** One of its main processes has just vanished. */
  | 'death'
  /** It was ONLINE, or its start had been under way, when the monitor before this one ended. */
  | 'adopted'
  /** Somebody wants to know, now. */
  | 'look'
  /** It was stopped, and whatever was left was killed. */
  | 'verify'
  /** Nothing was started by us: does anything run all the same? */
  | 'stray'

export type ProbeVerdict =
  | {
      readonly verdict: 'running'
      /** What is not well with it all the same. */
      readonly degraded?: string
    }
  | { readonly verdict: 'stopped' }
  | {
      readonly verdict: 'failed'
      readonly event: ResourceFailure['event']
      readonly detail: string
      readonly severity?: FailureSeverity
    }
  /** Nobody can tell whether it runs. */
  | { readonly verdict: 'unknown'; readonly detail: string }
  /** The question was withdrawn. */
  | { readonly verdict: 'none' }

export function judgeProbe(purpose: ProbePurpose, result: MethodResult): ProbeVerdict {
  if (result.outcome === 'cancelled') return { verdict: 'none' }
  switch (purpose) {
    case 'periodic':
    case 'death':
    case 'adopted':
    case 'look':
      return judgeOnline(purpose, result)
    case 'verify':
      if (result.outcome === 'stopped') return { verdict: 'stopped' }
      if (result.outcome === 'running') return { verdict: 'unknown', detail: 'its probe says that it still runs' }
      return { verdict: 'unknown', detail: cannotTell(result) }
    case 'stray':
      if (result.outcome === 'stopped' || result.outcome === 'running') return { verdict: result.outcome }
      return { verdict: 'unknown', detail: cannotTell(result) }
  }
}

function judgeOnline(purpose: ProbePurpose, result: MethodResult): ProbeVerdict {
  switch (result.outcome) {
    case 'running':
      return result.degraded === true ? { verdict: 'running', degraded: result.note ?? 'it is degraded' } : { verdict: 'running' }
    case 'stopped':
      return { verdict: 'failed', event: 'died', detail: result.note ?? 'its probe says that it is stopped' }
    case 'failed':
      return { verdict: 'failed', event: purpose === 'death' ? 'died' : 'probe-failed', detail: result.detail, ...severityIn(result) }
    case 'timed-out':
      return { verdict: 'failed', event: 'probe-timeout', detail: result.detail }
    default:
      return { verdict: 'failed', event: 'probe-failed', detail: cannotTell(result) }
  }
}

function severityIn({ severity }: { readonly severity?: FailureSeverity }) {
  return severity === undefined ? {} : { severity }
}

function cannotTell(result: MethodResult): string {
  return 'detail' in result ? `its probe cannot tell: ${result.detail}` : `its probe answered ${result.outcome}`
}
