/**
 * What groups carry along that is too large for an order, or is a file: into the log where they run, and out of it where they are to.
 *
 * Stands between the node and its monitors: an order to run waits until what the last holder left lies ready, and the word that a
 * group has ended until what its files were last is committed.
 */
import { createHash, randomBytes } from 'node:crypto'
import { ClusterError, type GroupName, type NodeId, type Token } from '../base/index.js'
import {
  type CheckpointRow,
  type Command,
  type CommandResult,
  carriedLevel,
  checkpointsOf,
  levelInForce,
  mayStillRun,
  partBytes,
  partsOf,
  type Reader,
} from '../core/cluster/index.js'
import type { MonitorOrder, MonitorReport } from '../core/monitor/index.js'
import { type CapturedEntry, CarriedFolders } from '../io/carried/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export interface Proposer {
  readonly state: Reader
  propose(command: Command, options: { readonly timeoutMs: number }): Promise<CommandResult>
}

export interface CarriedDoors {
  readonly self: NodeId
  readonly runFolder: RunFolder
  /** Undefined until the cluster has formed. */
  readonly node: () => Proposer | undefined
  readonly send: (order: MonitorOrder, to?: GroupName) => void
  readonly tell: (report: MonitorReport, from: GroupName | undefined) => void
  readonly log: (level: 'info' | 'warn' | 'error', text: string) => void
}

type Of = { readonly group: GroupName; readonly token: Token }

const proposeTimeout = 5_000
const againAfter = 1_000
/** How long the end of a group may wait for its files: others wait for it. */
const endMax = 10_000
const dropAfter = 60_000

/**
 * Leaves bytes as a checkpoint, in parts where they are many. `last` is the command that puts them in force; it is answered by its caller.
 * Errors: what `propose` throws, and what the state machine says of a part.
 */
export async function leaveInParts(
  node: Proposer,
  of: Of & { readonly name: string },
  bytes: Uint8Array,
): Promise<Pick<CheckpointRow, 'parts' | 'size' | 'sum'>> {
  const { group, token, name } = of
  const upload = randomBytes(12).toString('base64url')
  const count = Math.ceil(bytes.length / partBytes)
  for (let part = 0; part < count; part++) {
    const value = Buffer.from(bytes.subarray(part * partBytes, (part + 1) * partBytes)).toString('base64')
    const result = await node.propose(
      { kind: 'put-checkpoint-part', group, token, name, upload, part, value },
      { timeoutMs: proposeTimeout },
    )
    if (!result.ok)
      throw new ClusterError(
        result.error.code as ClusterError['code'],
        result.error.detail,
        result.error.fix === undefined ? {} : { fix: result.error.fix },
      )
  }
  return { parts: { upload, count }, size: bytes.length, sum: createHash('sha256').update(bytes).digest('hex') }
}

/** The bytes of a checkpoint, a piece after the other; undefined where a part of it is missing. */
export function bytesOfCheckpoint(state: Reader, row: CheckpointRow): readonly Uint8Array[] | undefined {
  const texts = row.parts === undefined ? [row.value] : partsOf(state, row)
  if (texts === undefined) return undefined
  const isText = row.parts === undefined && row.file === undefined
  return texts.map((text) => Buffer.from(text, isText ? 'utf8' : 'base64'))
}

export class Carried {
  readonly #doors: CarriedDoors
  readonly #folders: CarriedFolders
  /** Orders that wait for what is being staged for them. */
  readonly #waiting = new Map<string, { order: MonitorOrder; to: GroupName | undefined }>()
  readonly #uploading = new Map<string, Promise<boolean>>()
  /** What this process knows to be in the log, although its own state may be behind. */
  readonly #committed = new Map<string, string>()
  #again: NodeJS.Timeout | undefined

  constructor(doors: CarriedDoors) {
    this.#doors = doors
    this.#folders = new CarriedFolders(doors.runFolder)
  }

  send(order: MonitorOrder, to?: GroupName): void {
    const staging = order.kind === 'run' ? this.#toStage(order) : undefined
    if (order.kind === 'stop') this.#waiting.delete(keyOf(order)) // Nothing of it is to begin any more.
    if (staging === undefined) return this.#doors.send(order, to)
    const key = keyOf(order as Of)
    const isUnderWay = this.#waiting.has(key)
    this.#waiting.set(key, { order, to })
    if (!isUnderWay) void this.#stage(ofReport(order as Of), staging)
  }

  onReport(report: MonitorReport, from: GroupName | undefined): void {
    if (report.kind === 'captured') return void this.#upload(ofReport(report))
    if (report.kind === 'sealed') {
      const of = ofReport(report)
      if (!this.#isOpen(of)) return this.#doors.tell(report, from)
      void this.#uploadInTime(of).then(() => {
        this.#doors.tell(report, from)
        this.#dropLater(of)
      })
      return
    }
    if (report.kind !== 'hello') return this.#doors.tell(report, from)
    // A seal is told once what was captured under it is in the log.
    const open = this.#folders.allCaptured().filter((of) => (report.sealed[of.group] ?? -1) >= of.token && this.#isOpen(of))
    const sealed = Object.fromEntries(Object.entries(report.sealed).filter(([group]) => !open.some((of) => of.group === group)))
    this.#doors.tell({ ...report, sealed }, from)
    for (const of of open) void this.#uploadInTime(of).then(() => this.#doors.tell({ kind: 'sealed', ...of }, from))
    for (const of of this.#folders.allCaptured()) if (!open.includes(of)) void this.#upload(of)
  }

  /** Once the log has its end, nobody needs it any more. */
  #dropLater(of: Of) {
    setTimeout(() => {
      if (!this.#isOpen(of)) this.#folders.dropCaptured(of)
    }, dropAfter).unref()
  }

  close(): void {
    clearTimeout(this.#again)
    this.#waiting.clear()
  }

  /** What has to lie ready before the order goes; undefined where nothing has. */
  #toStage(order: Extract<MonitorOrder, { kind: 'run' }>): readonly CheckpointRow[] | undefined {
    const { state } = this.#doors.node() ?? {}
    if (state === undefined || this.#folders.isStaged(order)) return undefined
    const rows = checkpointsOf(state, order.group).filter(
      ({ parts, file, token, sum }) =>
        (parts !== undefined || file !== undefined) && sum !== undefined && (file === undefined || token !== order.token),
    )
    return rows.length === 0 ? undefined : rows
  }

  async #stage(of: Of, rows: readonly CheckpointRow[]): Promise<void> {
    const key = keyOf(of)
    try {
      const staging = this.#folders.stage(of)
      for (const row of rows) {
        const { state } = this.#doors.node() ?? {}
        const bytes = state === undefined ? undefined : bytesOfCheckpoint(state, row)
        if (bytes === undefined) throw new Error(`${row.name} is not whole any more`)
        const { name, node, file, size = 0, sum = '' } = row
        await staging.add({ name, node, size, sum, ...(file === undefined ? {} : { file }) }, bytes)
      }
      staging.finish()
    } catch (error) {
      this.#doors.log('warn', `what ${of.group} carries along cannot be made ready: ${(error as Error).message}`)
      this.#waiting.delete(key) // The order comes again.
      return
    }
    const waiting = this.#waiting.get(key)
    this.#waiting.delete(key)
    if (waiting !== undefined) this.#doors.send(waiting.order, waiting.to)
  }

  /** Something of it is captured, and the log still has its token. */
  #isOpen(of: Of): boolean {
    const group = this.#doors.node()?.state.get('groups', of.group)
    const isHeld = group !== undefined && mayStillRun(group) && group.holder.token === of.token && group.holder.node === this.#doors.self
    return isHeld && this.#folders.allCaptured().some((other) => other.group === of.group && other.token === of.token)
  }

  async #uploadInTime(of: Of): Promise<void> {
    const end = performance.now() + endMax
    while (this.#isOpen(of)) {
      if (await this.#upload(of)) return
      if (performance.now() >= end) return this.#doors.log('warn', `${of.group} ends before its files are all carried along`)
      await new Promise((resolve) => setTimeout(resolve, againAfter / 4))
    }
  }

  /** Whether the log has all that was captured by now. One at a time of a group. */
  async #upload(of: Of): Promise<boolean> {
    const key = keyOf(of)
    await this.#uploading.get(key)
    const known = this.#uploading.get(key)
    if (known !== undefined) return known
    const uploading = this.#uploadAll(of).finally(() => this.#uploading.delete(key))
    this.#uploading.set(key, uploading)
    const done = await uploading
    if (!done && this.#isOpen(of)) this.#tryAgain()
    return done
  }

  #tryAgain() {
    this.#again ??= setTimeout(() => {
      this.#again = undefined
      for (const of of this.#folders.allCaptured()) void this.#upload(of)
    }, againAfter)
    this.#again.unref()
  }

  async #uploadAll(of: Of): Promise<boolean> {
    const node = this.#doors.node()
    if (node === undefined || levelInForce(node.state) < carriedLevel) return false
    if (!this.#isOpen(of)) {
      const group = node.state.get('groups', of.group)
      // A state that is behind may not know the token yet.
      if (group === undefined || (group.holder?.token ?? 0) > of.token) this.#folders.dropCaptured(of)
      return false
    }
    try {
      for (const entry of this.#folders.captured(of)) await this.#uploadOne(node, of, entry)
      return true
    } catch (error) {
      this.#doors.log('info', `a file of ${of.group} is not in the log yet: ${(error as Error).message}`)
      return false
    }
  }

  async #uploadOne(node: Proposer, of: Of, entry: CapturedEntry): Promise<void> {
    const { key: name, file, sum, size, problem } = entry
    const id = `${keyOf(of)}/${name}`
    const wanted = `${sum} ${problem ?? ''} ${file.mode} ${file.owner} ${file.ownerGroup}`
    if (this.#committed.get(id) === wanted) return
    const row = node.state.get('checkpoints', `${of.group}/${name}`)
    const { group, token } = of
    const put = { kind: 'put-checkpoint', group, token, name, value: '' } as const
    if (problem !== undefined) await this.#propose(node, { ...put, file, problem })
    else if (row !== undefined && isAs(row, entry)) {
      if (row.token !== of.token || row.problem !== undefined) await this.#propose(node, { ...put, keep: true })
    } else {
      const bytes = await this.#folders.bytesOf(of, entry)
      if (createHash('sha256').update(bytes).digest('hex') !== sum) throw new Error('it has changed meanwhile')
      if (bytes.length <= partBytes) await this.#propose(node, { ...put, value: Buffer.from(bytes).toString('base64'), size, sum, file })
      else await this.#propose(node, { ...put, ...(await leaveInParts(node, { ...of, name }, bytes)), file })
    }
    this.#committed.set(id, wanted)
  }

  async #propose(node: Proposer, command: Command): Promise<void> {
    const result = await node.propose(command, { timeoutMs: proposeTimeout })
    if (!result.ok) throw new Error(result.error.detail)
  }
}

/** And nothing else of what says so. */
const ofReport = ({ group, token }: Of): Of => ({ group, token })

const keyOf = ({ group, token }: Of) => `${group}@${token}`

function isAs({ sum, file }: CheckpointRow, entry: CapturedEntry): boolean {
  const same =
    file !== undefined && file.mode === entry.file.mode && file.owner === entry.file.owner && file.ownerGroup === entry.file.ownerGroup
  return same && sum === entry.sum
}
