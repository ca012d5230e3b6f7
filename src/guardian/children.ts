/** The daemon and the monitor of this node: started detached, so that the guardian's end is not theirs, and adopted when they run already. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { cannotRun } from '../base/index.js'
import type { KeptRole } from '../core/guardian/index.js'
import type { ProcessIdentity } from '../core/monitor/index.js'
import { boundServiceLog, DeathWatch, identify, isAlive, runMarker, signalProcess } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

/** Tells our processes from each other in /proc; not passed on to agents and services. */
export const roleMarker = 'QUORATE_ROLE'

export interface ChildrenConfig {
  readonly runFolder: RunFolder
  readonly logDir: string
  /** That of a monitor is also that of those which groups have of their own, with the group named behind it. */
  readonly argv: Readonly<Record<'daemon' | 'monitor', readonly string[] | undefined>>
  readonly log: (text: string) => void
}

export interface ChildrenListener {
  onUp(role: KeptRole): void
  onEnded(role: KeptRole, refused: boolean): void
}

export class Children {
  readonly #config: ChildrenConfig
  readonly #listener: ChildrenListener
  readonly #running = new Map<KeptRole, ProcessIdentity>()
  readonly #adopted: DeathWatch<KeptRole>
  readonly #logs = new Set<string>(['daemon', 'monitor', 'guardian'])

  constructor(config: ChildrenConfig, listener: ChildrenListener) {
    this.#config = config
    this.#listener = listener
    this.#adopted = new DeathWatch((role, process) => this.#ended(role, process, 'it has ended', false))
  }

  /** Takes over what the pid file names, if it lives and is not known yet. */
  adopt(role: KeptRole): boolean {
    if (this.#running.has(role)) return false
    const known = this.#config.runFolder.readPid(role)
    if (known === undefined || !isAlive(known)) return false
    this.#running.set(role, known)
    this.#adopted.watch(role, [known])
    return true
  }

  spawn(role: KeptRole) {
    const group = role === 'daemon' || role === 'monitor' ? undefined : role.slice('monitor@'.length)
    const argv = this.#config.argv[role === 'daemon' ? 'daemon' : 'monitor'] ?? []
    const [program, ...rest] = group === undefined ? argv : [...argv, '--group', group]
    if (program === undefined) return
    if (this.adopt(role)) return this.#listener.onUp(role) // Somebody else was faster.
    const { runFolder, logDir, log } = this.#config
    const output = openSync(join(logDir, `${role}.log`), 'a', 0o640)
    this.#logs.add(role)
    const child = spawn(program, rest, {
      detached: true,
      stdio: ['ignore', output, output],
      env: { ...process.env, [runMarker]: runFolder.key, [roleMarker]: group === undefined ? role : 'monitor' },
    })
    closeSync(output)
    const identity = child.pid === undefined ? undefined : identify(child.pid)
    child.once('error', (error) => {
      log(`the ${role} could not be started: ${error.message}`)
      if (identity === undefined) this.#listener.onEnded(role, false)
    })
    if (identity === undefined) return
    this.#running.set(role, identity)
    runFolder.writePid(role, identity)
    child.once('exit', (code, signal) => this.#ended(role, identity, signal === null ? `status ${code}` : signal, code === cannotRun))
    log(`${role} started, pid ${identity.pid}`)
    this.#listener.onUp(role)
  }

  /** Also one that is about to take the place of the one that is known. */
  signal(role: KeptRole, signal: NodeJS.Signals) {
    const identity = this.#running.get(role)
    if (identity === undefined) return
    signalProcess(identity, signal)
    const next = this.#config.runFolder.readPid(role)
    if (next !== undefined && next.pid !== identity.pid) signalProcess(next, signal)
  }

  boundLogs() {
    for (const role of this.#logs) boundServiceLog(join(this.#config.logDir, `${role}.log`))
  }

  close() {
    this.#adopted.close()
  }

  #ended(role: KeptRole, identity: ProcessIdentity, how: string, refused: boolean) {
    if (this.#running.get(role) !== identity) return
    this.#running.delete(role)
    this.#config.log(`${role} ended, pid ${identity.pid}: ${how}`)
    this.#listener.onEnded(role, refused)
    // It has made room for another one, which is to be known before anything is done about its end.
    if (this.adopt(role)) this.#listener.onUp(role)
  }
}
