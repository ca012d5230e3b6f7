/** Units for tests, on the machine on which this runs. */
import { execFile, execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const folder = '/etc/systemd/system'
const tree = existsSync('/sys/fs/cgroup/unified') ? '/sys/fs/cgroup/unified' : '/sys/fs/cgroup'

/** Waits for what it runs; throws where that fails. */
export function systemctl(...args: readonly string[]): string {
  return execFileSync('systemctl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 }).trim()
}

/** As `systemctl`, for where systemd may not answer: does not wait. */
export function systemctlLater(...args: readonly string[]): Promise<string> {
  return new Promise((resolve) => execFile('systemctl', args, (_error, stdout) => resolve(stdout.trim())))
}

export function property(unit: string, name: string): string {
  return systemctl('show', '--property', name, '--value', unit)
}

export function install(unit: string, service: Readonly<Record<string, string>>, more = '') {
  mkdirSync(folder, { recursive: true })
  const lines = Object.entries(service).map(([key, value]) => `${key}=${value}`)
  writeFileSync(join(folder, unit), `${more}\n[Service]\n${lines.join('\n')}\n`)
  systemctl('daemon-reload')
}

export function uninstall(unit: string) {
  try {
    systemctl('disable', '--now', unit)
    systemctl('reset-failed', unit)
  } catch {
    // It did not run, or had not failed.
  }
  rmSync(join(folder, unit), { force: true })
  for (const at of [folder, '/run/systemd/system']) rmSync(join(at, `${unit}.d`), { recursive: true, force: true })
}

export function mainPid(unit: string): number {
  return Number(property(unit, 'MainPID'))
}

export function environmentOf(pid: number): Readonly<Record<string, string>> {
  const entries = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
  return Object.fromEntries(entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]))
}

export function processesOf(unit: string): readonly number[] {
  try {
    return readFileSync(join(tree, 'system.slice', unit, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(Number)
  } catch {
    return []
  }
}

/** systemd itself stands still, as one that hangs, or goes on. */
export function freezeSystemd(stands: boolean): Promise<void> {
  return writeFile(join(tree, 'init.scope', 'cgroup.freeze'), stands ? '1' : '0')
}
