/**
 * systemd over the system's message bus (org.freedesktop.systemd1(5)): what state a unit is in, jobs, and what changes.
 *
 * One connection, opened when it is first needed and again when it was lost. Decides nothing.
 */
import { type UnitFacts, type UnitStarter, type UnitState, unitCgroupPath } from '../../core/monitor/index.js'
import { type BusConnection, BusError, type BusMessage, BusSilent, type BusValue, connectBus, systemBusSocket } from '../bus/index.js'

export interface SystemdOptions {
  /** Socket of the bus; that of the system unless given. */
  readonly socket?: string
}

export type StopMode = 'replace' | 'ignore-dependencies'

/** All errors: BusError, BusSilent. Times in milliseconds. */
export interface Systemd {
  state(unit: string, timeout: number): Promise<UnitState>
  facts(unit: string, timeout: number): Promise<UnitFacts>
  /** Answers with the job, once it is there. */
  start(unit: string, timeout: number): Promise<string>
  /** Undefined where systemd does not know the unit: then there is nothing to stop. */
  stop(unit: string, mode: StopMode, timeout: number): Promise<string | undefined>
  cancelJob(job: string, timeout: number): Promise<void>
  /** What came of a job: done, failed, canceled, timeout, dependency … Undefined where it did not end in time, or nobody told. */
  ended(job: string, timeout: number): Promise<string | undefined>
  /** Has unit files read anew. */
  reload(timeout: number): Promise<void>
  /** The service that this process is part of; undefined where it is none. */
  ownService(timeout: number): Promise<(UnitState & { readonly name: string }) | undefined>
  /** Calls back when the state of the unit may have changed. */
  watch(unit: string, onChange: () => void): () => void
  close(): void
}

const name = 'org.freedesktop.systemd1'
const manager = { destination: name, path: '/org/freedesktop/systemd1', interface: `${name}.Manager` }
const properties = 'org.freedesktop.DBus.Properties'
const noSuchUnit = `${name}.NoSuchUnit`

const connectMax = 5_000
const reconnectEvery = 1_000
/** Of what is asked only to be told of changes. */
const subscribeMax = 60_000
const jobsKept = 200
/** Units that could start another one: more of them are not looked at one by one. */
const startersMax = 50

interface Watched {
  readonly unit: string
  readonly onChange: () => void
  /** Of the connection in use. */
  path: string | undefined
}

export function openSystemd({ socket = systemBusSocket }: SystemdOptions = {}): Systemd {
  return new SystemdOnBus(socket)
}

class SystemdOnBus implements Systemd {
  readonly #socket: string
  #opening: Promise<BusConnection> | undefined
  #reconnecting: NodeJS.Timeout | undefined
  #isClosed = false
  readonly #watched = new Set<Watched>()
  /** Paths of units whose changes are told on the connection in use. */
  readonly #matched = new Set<string>()
  /** Jobs that have ended lately, with what came of them. */
  readonly #jobs = new Map<string, string>()
  readonly #waiting = new Map<string, Set<(result: string | undefined) => void>>()

  constructor(socket: string) {
    this.#socket = socket
  }

  async state(unit: string, timeout: number): Promise<UnitState> {
    const [found] = await this.#list([unit], timeout)
    return found ?? { load: 'not-found', active: 'inactive', sub: 'dead', job: undefined }
  }

  async facts(unit: string, timeout: number): Promise<UnitFacts> {
    const left = clock(timeout)
    const state = await this.state(unit, left())
    const [path] = await this.#ask('LoadUnit', 's', [unit], left())
    const [ofUnit, ofService, root] = await Promise.all([
      this.#propertiesOf(String(path), 'Unit', left()),
      this.#propertiesOf(String(path), 'Service', left()),
      this.#property(manager.path, 'Manager', 'ControlGroup', left()),
    ])
    const text = (value: BusValue | undefined) => String(value ?? '')
    const list = (value: BusValue | undefined) => (Array.isArray(value) ? (value as readonly BusValue[]) : [])
    const names = (value: BusValue | undefined) => list(value).map(String)
    const wanting = ['WantedBy', 'RequiredBy', 'UpheldBy', 'BoundBy'].flatMap((key) => names(ofUnit[key]))
    const starters = await this.#starters(wanting, names(ofUnit.TriggeredBy), left())
    const cgroup = text(ofService.ControlGroup)
    return {
      ...state,
      name: unit,
      id: text(ofUnit.Id),
      description: text(ofUnit.Description),
      fileState: text(ofUnit.UnitFileState),
      file: text(ofUnit.FragmentPath),
      dropIns: names(ofUnit.DropInPaths),
      needsReload: ofUnit.NeedDaemonReload === true,
      starters,
      cgroup: cgroup === '' ? unitCgroupPath(text(root), text(ofService.Slice), unit) : cgroup,
      type: text(ofService.Type),
      staysWithoutProcesses: ofService.RemainAfterExit === true,
      restart: text(ofService.Restart),
      forcesRestart: list(ofService.RestartForceExitStatus).some((part) => list(part).length > 0),
      environmentFiles: list(ofService.EnvironmentFiles).map((entry) => text(list(entry)[0])),
      user: text(ofService.User),
      result: text(ofService.Result),
      exit: { code: Number(ofService.ExecMainCode ?? 0), status: Number(ofService.ExecMainStatus ?? 0) },
    }
  }

  async start(unit: string, timeout: number): Promise<string> {
    const [job] = await this.#ask('StartUnit', 'ss', [unit, 'replace'], timeout)
    return String(job)
  }

  async stop(unit: string, mode: StopMode, timeout: number): Promise<string | undefined> {
    try {
      const [job] = await this.#ask('StopUnit', 'ss', [unit, mode], timeout)
      return String(job)
    } catch (error) {
      if (error instanceof BusError && error.error === noSuchUnit) return undefined
      throw error
    }
  }

  async cancelJob(job: string, timeout: number): Promise<void> {
    const connection = await this.#connection(timeout)
    await connection.call({ destination: name, path: job, interface: `${name}.Job`, member: 'Cancel' }, timeout)
  }

  ended(job: string, timeout: number): Promise<string | undefined> {
    const known = this.#jobs.get(job)
    if (known !== undefined) return Promise.resolve(known)
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(job) ?? new Set()
      this.#waiting.set(job, waiting)
      const finish = (result: string | undefined) => {
        clearTimeout(timer)
        waiting.delete(finish)
        if (waiting.size === 0) this.#waiting.delete(job)
        resolve(result)
      }
      const timer = setTimeout(() => finish(undefined), timeout)
      waiting.add(finish)
    })
  }

  async reload(timeout: number): Promise<void> {
    await this.#ask('Reload', '', [], timeout)
  }

  async ownService(timeout: number) {
    const left = clock(timeout)
    try {
      const [path] = await this.#ask('GetUnitByPID', 'u', [process.pid], left())
      const own = String(await this.#property(String(path), 'Unit', 'Id', left()))
      return own.endsWith('.service') ? { name: own, ...(await this.state(own, left())) } : undefined
    } catch (error) {
      if (error instanceof BusError) return undefined
      throw error
    }
  }

  watch(unit: string, onChange: () => void): () => void {
    const watched: Watched = { unit, onChange, path: undefined }
    this.#watched.add(watched)
    this.#connection(connectMax).then(
      (connection) => this.#follow(connection, watched),
      () => this.#reconnectLater(),
    )
    return () => {
      this.#watched.delete(watched)
    }
  }

  close() {
    this.#isClosed = true
    clearTimeout(this.#reconnecting)
    this.#watched.clear()
    this.#opening?.then(
      (connection) => connection.close(),
      () => {},
    )
  }

  async #list(units: readonly string[], timeout: number): Promise<readonly (UnitState & { readonly name: string })[]> {
    const [rows] = await this.#ask('ListUnitsByNames', 'as', [units], timeout)
    return (rows as readonly (readonly BusValue[])[]).map((row) => {
      const [unit, , load, active, sub, , , jobId, jobType] = row
      return {
        name: String(unit),
        load: String(load),
        active: String(active),
        sub: String(sub),
        job: jobId === 0 ? undefined : String(jobType),
      }
    })
  }

  async #starters(wanting: readonly string[], triggering: readonly string[], timeout: number): Promise<readonly UnitStarter[]> {
    const left = clock(timeout)
    const all = [...new Set([...wanting, ...triggering])].slice(0, startersMax)
    if (all.length === 0) return []
    const states = await this.#list(all, left())
    return Promise.all(
      all.map(async (other) => {
        const active = states.find((state) => state.name === other)?.active ?? 'inactive'
        const isActive = active !== 'inactive' && active !== 'failed'
        const how = triggering.includes(other) ? ('triggers' as const) : ('wants' as const)
        return { name: other, how, isActive, fileState: await this.#fileState(other, left()) }
      }),
    )
  }

  /** Empty where it has no file. */
  async #fileState(unit: string, timeout: number): Promise<string> {
    try {
      const [state] = await this.#ask('GetUnitFileState', 's', [unit], timeout)
      return String(state)
    } catch (error) {
      if (error instanceof BusError) return ''
      throw error
    }
  }

  async #propertiesOf(path: string, of: string, timeout: number): Promise<Readonly<Record<string, BusValue>>> {
    const connection = await this.#connection(timeout)
    const call = { destination: name, path, interface: properties, member: 'GetAll', signature: 's', body: [`${name}.${of}`] }
    const [found] = await connection.call(call, timeout)
    return Object.fromEntries(found as readonly (readonly [string, BusValue])[])
  }

  async #property(path: string, of: string, key: string, timeout: number): Promise<BusValue | undefined> {
    const connection = await this.#connection(timeout)
    const call = { destination: name, path, interface: properties, member: 'Get', signature: 'ss', body: [`${name}.${of}`, key] }
    return (await connection.call(call, timeout))[0]
  }

  async #ask(member: string, signature: string, body: readonly BusValue[], timeout: number): Promise<readonly BusValue[]> {
    const left = clock(timeout)
    const connection = await this.#connection(timeout)
    return connection.call({ ...manager, member, signature, body }, left())
  }

  /** Shared by all who ask meanwhile; each waits for no longer than it may. */
  async #connection(timeout: number): Promise<BusConnection> {
    if (this.#isClosed) throw new BusSilent('the connection to the bus was closed')
    this.#opening ??= this.#open()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new BusSilent('the bus did not answer in time')), timeout)
    })
    try {
      return await Promise.race([this.#opening, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #open(): Promise<BusConnection> {
    const opening = this.#connect()
    opening.then(
      (connection) => {
        for (const watched of this.#watched) this.#follow(connection, watched)
      },
      () => {
        if (this.#opening === opening) this.#opening = undefined
      },
    )
    return opening
  }

  async #connect(): Promise<BusConnection> {
    let isOpen = true
    const onClosed = () => {
      isOpen = false
      this.#onLost()
    }
    const connection = await connectBus(this.#socket, { onSignal: (signal) => this.#onSignal(signal), onClosed }, connectMax)
    if (!isOpen) throw new BusSilent('the bus has closed the connection')
    await connection.match(
      `type='signal',sender='${name}',path='${manager.path}',interface='${manager.interface}',member='JobRemoved'`,
      connectMax,
    )
    // Not waited for: whatever is asked afterwards is handled after it, and systemd may hang.
    connection.call({ ...manager, member: 'Subscribe' }, subscribeMax).catch(() => {})
    return connection
  }

  #onLost() {
    this.#opening = undefined
    for (const waiting of this.#waiting.values()) for (const finish of [...waiting]) finish(undefined)
    this.#matched.clear()
    for (const watched of this.#watched) watched.path = undefined
    if (this.#watched.size > 0) this.#reconnectLater()
  }

  #reconnectLater() {
    if (this.#isClosed || this.#reconnecting !== undefined) return
    this.#reconnecting = setTimeout(() => {
      this.#reconnecting = undefined
      if (this.#watched.size > 0) this.#connection(connectMax).catch(() => this.#reconnectLater())
    }, reconnectEvery)
    this.#reconnecting.unref()
  }

  /** What it missed until now is looked for at once. */
  async #follow(connection: BusConnection, watched: Watched) {
    if (watched.path !== undefined || !this.#watched.has(watched)) return
    try {
      const [path] = await connection.call({ ...manager, member: 'LoadUnit', signature: 's', body: [watched.unit] }, connectMax)
      watched.path = String(path)
      if (!this.#matched.has(watched.path)) {
        this.#matched.add(watched.path) // How many one connection may have is limited.
        const rule = `type='signal',sender='${name}',path='${path}',interface='${properties}',member='PropertiesChanged'`
        await connection.match(rule, connectMax)
      }
      if (this.#watched.has(watched)) watched.onChange()
    } catch {
      // Probes go on, and the next connection tries again.
    }
  }

  #onSignal({ path, member, body }: BusMessage) {
    if (member === 'JobRemoved') {
      const [, job, , result] = body.map(String) as [string, string, string, string]
      if (this.#jobs.size >= jobsKept) this.#jobs.delete(this.#jobs.keys().next().value as string)
      this.#jobs.set(job, result)
      for (const finish of [...(this.#waiting.get(job) ?? [])]) finish(result)
      return
    }
    if (member !== 'PropertiesChanged' || body[0] !== `${name}.Unit`) return
    const changed = (body[1] as readonly (readonly [string, BusValue])[]).some(([key]) => key === 'ActiveState')
    if (!changed) return
    for (const watched of [...this.#watched]) if (watched.path === path) watched.onChange()
  }
}

/** What is left of a time, at least a moment. */
function clock(timeout: number): () => number {
  const end = performance.now() + timeout
  return () => Math.max(1, end - performance.now())
}
