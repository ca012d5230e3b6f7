/**
 * What systemd says of a unit, and what that means: whether it runs, whether it may be started here, how it ended.
 *
 * systemd.service(5), org.freedesktop.systemd1(5).
 */
import type { MethodResult } from './verdict.js'

export interface UnitState {
  /** loaded, not-found, masked, bad-setting, error … */
  readonly load: string
  /** active, reloading, inactive, failed, activating, deactivating … */
  readonly active: string
  readonly sub: string
  /** start, stop, restart …: what waits or runs for it. Undefined where nothing does. */
  readonly job: string | undefined
}

/** Another unit that may start it without being asked to by the cluster. */
export interface UnitStarter {
  readonly name: string
  /** `wants`: is started together with it. `triggers`: starts it when something happens. */
  readonly how: 'wants' | 'triggers'
  readonly isActive: boolean
  /** As `systemctl is-enabled` says. */
  readonly fileState: string
}

export interface UnitFacts extends UnitState {
  readonly name: string
  /** Its own name, where `name` is an alias. */
  readonly id: string
  readonly description: string
  readonly fileState: string
  /** Path of its file; empty where it has none. */
  readonly file: string
  readonly dropIns: readonly string[]
  /** What systemd has in memory is not what the files say. */
  readonly needsReload: boolean
  readonly starters: readonly UnitStarter[]
  /** Path below the root of the cgroup tree; empty while it has none. */
  readonly cgroup: string
  /** simple, forking, oneshot, notify … */
  readonly type: string
  readonly staysWithoutProcesses: boolean
  /** `Restart=`. */
  readonly restart: string
  /** `RestartForceExitStatus=` is not empty: it restarts whatever `Restart=` says. */
  readonly forcesRestart: boolean
  readonly environmentFiles: readonly string[]
  readonly user: string
  /** success, exit-code, signal, oom-kill, timeout … */
  readonly result: string
  /** Of its main process: how it ended (CLD_EXITED and its like, 0 where it has not), and its status or signal. */
  readonly exit: { readonly code: number; readonly status: number }
}

/** `left`: processes are left in its cgroup. `changing`: it is about to be something else, and worth another look. */
export function judgeUnit(state: UnitState, left: boolean): MethodResult | 'changing' {
  switch (state.active) {
    case 'active':
    case 'reloading':
    case 'refreshing':
    case 'activating':
    case 'maintenance':
      return { outcome: 'running' }
    case 'deactivating':
      return 'changing'
    case 'inactive':
    case 'failed':
      // What systemd has yet to do counts: such a job comes to life when nobody looks.
      if (state.job !== undefined && state.job !== 'stop' && state.job !== 'verify-active' && state.job !== 'nop')
        return { outcome: 'running' }
      return left ? { outcome: 'failed', detail: `systemd calls it ${state.active}, and processes of it are left` } : { outcome: 'stopped' }
    default:
      return { outcome: 'failed', detail: `systemd calls its state "${state.active}"` }
  }
}

/** Of a unit that others look after. `strict`: it is not up before systemd calls it so. */
export function judgeWatchedUnit({ active, sub }: Pick<UnitState, 'active' | 'sub'>, strict: boolean): MethodResult {
  const isUp = active === 'active' || active === 'reloading' || active === 'refreshing'
  const isComing = active === 'activating' && !sub.startsWith('auto-restart')
  if (isUp || (isComing && !strict)) return { outcome: 'running' }
  return { outcome: 'stopped', note: `systemd calls it ${active} (${sub})` }
}

/** Whether a unit of this state comes up when the machine does. */
const isEnabled = (fileState: string) => fileState === 'enabled' || fileState === 'enabled-runtime'

/** Why the unit cannot be a resource here, with what mends it; undefined where it can. */
export function unitObstacle(facts: UnitFacts): { readonly detail: string; readonly fix: string } | undefined {
  const { name, id, load, fileState, starters } = facts
  if (load === 'not-found') return { detail: `the unit ${name} is not installed`, fix: 'install it on every node of the group' }
  if (load === 'masked' || fileState.startsWith('masked')) return { detail: `the unit ${name} is masked`, fix: `systemctl unmask ${name}` }
  if (load !== 'loaded') return { detail: `systemd cannot load the unit ${name} (${load})`, fix: `systemctl status ${name} says why` }
  // Two groups must not hold it by two names.
  if (id !== name) return { detail: `${name} is another name of ${id}`, fix: `use the type systemd:${id}` }
  if (isEnabled(fileState))
    return {
      detail: `the unit ${name} is ${fileState}: systemd would start it at boot, without a grant`,
      fix: `systemctl disable ${name}`,
    }
  const wanting = starters.find((other) => other.how === 'wants' && (other.name.endsWith('.target') || isEnabled(other.fileState)))
  if (wanting !== undefined)
    return {
      detail: `the unit ${name} is wanted by ${wanting.name}: systemd would start it with that, without a grant`,
      fix: `take it out of what ${wanting.name} wants (systemctl disable ${name}; systemctl list-dependencies --reverse ${name})`,
    }
  const trigger = starters.find((other) => other.how === 'triggers' && (other.isActive || isEnabled(other.fileState)))
  if (trigger === undefined) return undefined
  return {
    detail: `${trigger.name} can start the unit ${name} without a grant`,
    fix: `systemctl disable --now ${trigger.name}`,
  }
}

/** What a drop-in of ours says while the unit is a resource that may run. */
export function unitDropIn(dropIn: { readonly grantFile: string; readonly before: string | undefined }): string {
  const { grantFile, before } = dropIn
  return [
    '# Quorate runs this unit as a resource of a group, and takes this file away when that has ended.',
    '[Unit]',
    // At the end of the machine the cluster brings its resources down itself, in their order.
    ...(before === undefined ? [] : [`Before=${before}`]),
    // Restarts are the cluster's to count.
    'StartLimitIntervalSec=0',
    '[Service]',
    'Restart=no',
    'RestartForceExitStatus=',
    // Without it nothing of the unit is started: it is there for as long as the grant.
    `EnvironmentFile=${grantFile.replaceAll('%', '%%')}`,
    '',
  ].join('\n')
}

/** Comes after what administrators usually name theirs: the last one counts. One per run folder, by its key. */
export const dropInName = (key: string) => `zzz-quorate-${key}.conf`
const isOurDropIn = (path: string) => /\/zzz-quorate-[^/]*\.conf$/.test(path)

/** Why the drop-in is not in force; undefined where it is. */
export function overrideProblem(facts: UnitFacts, dropIn: string, grantFile: string): string | undefined {
  const { name, dropIns, restart, forcesRestart, environmentFiles } = facts
  if (!dropIns.includes(dropIn)) return `systemd does not read ${dropIn}`
  const foreign = dropIns.find((path) => path !== dropIn && isOurDropIn(path))
  if (foreign !== undefined)
    return `${foreign} is of another node of Quorate: only one may run ${name} on a machine; where that node is gone, remove the file`
  const later = dropIns.slice(dropIns.indexOf(dropIn) + 1)
  const whose = later.length === 0 ? '' : ` (set by ${later.join(', ')}, which comes after ${dropIn})`
  if (restart !== 'no')
    return `Restart=${restart} of ${name} cannot be turned off${whose}: systemd would restart what the cluster decides about`
  if (forcesRestart)
    return `RestartForceExitStatus= of ${name} cannot be turned off${whose}: systemd would restart what the cluster decides about`
  if (!environmentFiles.includes(grantFile)) return `the file with the grant is not read by ${name}${whose}`
  return undefined
}

const codes: Readonly<Record<number, string>> = { 1: 'ended with status', 2: 'was killed by signal', 3: 'dumped core after signal' }

/** How its main process ended, for a person; undefined where nothing is to be said. */
export function unitEnd({ name, result, exit, active }: Pick<UnitFacts, 'name' | 'result' | 'exit' | 'active'>): string | undefined {
  const how = codes[exit.code]
  if (result === 'success') return how === undefined ? undefined : `its main process ${how} ${exit.status}`
  const process = how === undefined ? '' : `; its main process ${how} ${exit.status}`
  return `systemd calls ${name} ${active} (${result})${process}`
}

/** What came of a start job (`JobRemoved`), once the unit was looked at again. */
export function judgeStart(jobResult: string, facts: UnitFacts): MethodResult {
  const end = unitEnd(facts)
  if (jobResult !== 'done') {
    const why = jobResult === 'failed' && end !== undefined ? end : `systemd answered "${jobResult}"${end === undefined ? '' : `: ${end}`}`
    return { outcome: 'failed', detail: why }
  }
  if (facts.active === 'active' || facts.active === 'reloading' || facts.active === 'refreshing') return { outcome: 'done' }
  if (facts.type === 'oneshot' && facts.active === 'inactive')
    return {
      outcome: 'failed',
      severity: 'fatal',
      detail: `${facts.name} is of Type=oneshot and has done its work: to be a resource it needs RemainAfterExit=yes`,
    }
  return { outcome: 'failed', detail: end ?? `systemd calls it ${facts.active} (${facts.sub}) right after its start` }
}

/** Where systemd puts the processes of a unit (systemd.slice(5)): `root` is the cgroup of systemd itself. */
export function unitCgroupPath(root: string, slice: string, unit: string): string {
  const parts = slice === '' || slice === '-.slice' ? [] : slice.replace(/\.slice$/, '').split('-')
  const slices = parts.map((_, at) => `${parts.slice(0, at + 1).join('-')}.slice`)
  return [root === '/' ? '' : root, ...slices, unit].join('/')
}
