/** Unit files on this machine: which services are installed, and drop-ins of ours. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { dropInName } from '../../core/monitor/index.js'

/** Where drop-ins live that are gone with the boot (systemd.unit(5)). */
export const runtimeUnits = '/run/systemd/system'

const folders = ['/etc/systemd/system', runtimeUnits, '/usr/local/lib/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system']

/** sd_booted(3): systemd is the first process of this machine. */
export function isSystemdHere(): boolean {
  return existsSync(runtimeUnits)
}

/** Names of installed services, templates left out; empty where systemd does not run. */
export function installedServices(): readonly string[] {
  if (!isSystemdHere()) return []
  const names = new Set(folders.flatMap(namesIn).filter((name) => /^[^.@-].*\.service$/.test(name) && !name.endsWith('@.service')))
  return [...names].sort()
}

export function dropInPath(folder: string, unit: string, key: string): string {
  return join(folder, `${unit}.d`, dropInName(key))
}

/** False where it was there, and the same. */
export function placeDropIn(path: string, text: string): boolean {
  if (readText(path) === text) return false
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o755 })
  const beside = `${path}.new`
  writeFileSync(beside, text, { mode: 0o644 })
  renameSync(beside, path)
  return true
}

export function removeDropIn(path: string): void {
  rmSync(path, { force: true })
  try {
    rmdirSync(join(path, '..'))
  } catch {
    // Others have theirs there.
  }
}

/** Units that have a drop-in of this run folder. */
export function unitsWithDropIn(folder: string, key: string): readonly string[] {
  return namesIn(folder).flatMap((name) => {
    const unit = name.endsWith('.service.d') ? name.slice(0, -'.d'.length) : undefined
    return unit !== undefined && existsSync(dropInPath(folder, unit, key)) ? [unit] : []
  })
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
