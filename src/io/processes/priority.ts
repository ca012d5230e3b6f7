/**
 * How soon this process is let run when others want the processor too. A node that is merely kept waiting must not look dead: its
 * heartbeats come before its services' work, and what ends them at the end of the lease before everything.
 */
import { execFile, execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'

/** Nice values, as setpriority(2) has them. */
export const daemonPriority = -15
export const monitorPriority = -10
const chrt = '/usr/bin/chrt'

/**
 * Of every thread that there is; those to come follow the one that starts them, and what is started as a program does not. False where
 * it is not allowed.
 */
export function raisePriority(nice: number): boolean {
  try {
    execFileSync(chrt, ['--all-tasks', '--reset-on-fork', '--other', '--pid', '0', String(process.pid)], {
      stdio: 'ignore',
      timeout: 2_000,
    })
    for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), nice)
    return true
  } catch {
    return false
  }
}

/** The lowest real-time priority, round robin, for this process and not for what it starts; else the highest of the usual ones. */
export function raiseToRealTime(say: (text: string) => void): void {
  execFile(chrt, ['--all-tasks', '--reset-on-fork', '--rr', '--pid', '1', String(process.pid)], { timeout: 5_000 }, (error) => {
    if (error === null) return say('runs with real-time priority')
    say(raisePriority(-20) ? 'runs with the highest usual priority' : 'may not raise its priority: under load it may come late')
  })
}
