/**
 * Files that go with their group, on the node that runs it: put back before anything starts, and looked at whenever they change.
 *
 * inotify tells of changes; a look every few seconds finds what it does not tell. What is found lies in the run folder for the daemon,
 * which has it committed. After the stop of a group they are looked at once more, before the stop is told.
 */
import { createHash } from 'node:crypto'
import { type FSWatcher, lstatSync, watch, writeFileSync } from 'node:fs'
import { lstat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { type GroupName, isName, type NodeId, type ResourceName, type Token } from '../base/index.js'
import { fileKey } from '../core/cluster/index.js'
import type { MonitorReport, RunRecord } from '../core/monitor/index.js'
import { CarriedFolders, putBack, readFileNow, type StagedItem } from '../io/carried/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

export interface CarriedWorld {
  readonly node: NodeId
  readonly runFolder: RunFolder
  readonly report: (report: MonitorReport) => void
  readonly log: (text: string) => void
}

/** Several changes in a row are one. Milliseconds. */
const gatherFor = 200
const sweepEvery = 5_000
/** A stop is told at the latest after this, whatever became of the last look. */
const lastLookMax = 5_000

interface Watched {
  readonly group: GroupName
  readonly token: Token
  readonly resource: ResourceName
  readonly path: string
  readonly key: string
  watcher: FSWatcher | undefined
  due: NodeJS.Timeout | undefined
  /** What was told of it last: its sum, or what is wrong with it. */
  told: string
  /** Size and times at the last look: what has not changed is not read again. */
  seen: string
  looking: Promise<void> | undefined
}

type Of = { readonly group: GroupName; readonly token: Token }

export class CarriedFiles {
  readonly #world: CarriedWorld
  readonly #folders: CarriedFolders
  readonly #watched = new Map<string, Watched>()
  readonly #puttingBack = new Map<string, Promise<string | undefined>>()
  /** Last looks that are under way. */
  readonly #ending = new Map<GroupName, Promise<void>>()
  readonly #sweep: NodeJS.Timeout

  constructor(world: CarriedWorld) {
    this.#world = world
    this.#folders = new CarriedFolders(world.runFolder)
    this.#sweep = setInterval(() => this.#lookAtAll(), sweepEvery)
  }

  /** Before a start: undefined where there is nothing to wait for, else what stands against it once that is over. */
  ready(of: Of & { readonly resources: readonly ResourceName[] }): Promise<string | undefined> | undefined {
    const key = `${of.group}@${of.token}`
    const running = this.#puttingBack.get(key)
    if (running !== undefined) return running
    let items: readonly StagedItem[] | undefined
    try {
      items = this.#folders.todo(of)
    } catch (error) {
      return Promise.resolve((error as Error).message)
    }
    if (items === undefined) return undefined
    const puttingBack = this.#putAllBack(of, items).finally(() => this.#puttingBack.delete(key))
    this.#puttingBack.set(key, puttingBack)
    return puttingBack
  }

  /** What is up is watched, and nothing else. */
  onRecord({ group, token, resources, progress }: RunRecord) {
    for (const [name, { files = [] }] of Object.entries(resources)) {
      const isUp = progress[name as ResourceName]?.state === 'ONLINE'
      for (const path of isUp ? files : []) this.#watch({ group, token }, name as ResourceName, path)
      for (const one of this.#of(group)) if (one.resource === name && !files.includes(one.path)) this.#unwatch(one)
    }
  }

  /** It has stopped: what its files are now is what the next copy begins with. */
  onDeleted(group: GroupName) {
    const last = this.#of(group)
    if (last.length === 0) return
    for (const one of last) this.#unwatch(one)
    const looks = Promise.all(last.map((one) => this.#look(one, true))).then(() => {})
    const late = new Promise<void>((resolve) => setTimeout(resolve, lastLookMax).unref())
    const ending = Promise.race([looks, late]).finally(() => {
      if (this.#ending.get(group) === ending) this.#ending.delete(group)
    })
    this.#ending.set(group, ending)
  }

  /** Says it now, or when the last look at what it speaks of is over. */
  tell(report: MonitorReport) {
    const waits =
      report.kind === 'hello'
        ? [...this.#ending.values()]
        : report.kind === 'sealed' || report.kind === 'group'
          ? [this.#ending.get(report.group)]
          : []
    const pending = waits.filter((ending) => ending !== undefined)
    if (pending.length === 0) return this.#world.report(report)
    void Promise.all(pending).then(() => this.#world.report(report))
  }

  close() {
    clearInterval(this.#sweep)
    for (const one of this.#watched.values()) this.#unwatch(one)
  }

  async #putAllBack(of: Of & { readonly resources: readonly ResourceName[] }, items: readonly StagedItem[]): Promise<string | undefined> {
    for (const item of items) {
      try {
        const bytes = await this.#folders.stagedBytes(of, item)
        if (item.file === undefined) this.#writeCheckpoint(of, item, bytes)
        else if (!(await this.#isOurs(item))) {
          await putBack({ ...item.file, size: item.size, sum: item.sum }, bytes)
          this.#world.log(`${item.file.path} of ${of.group} is as ${item.node} left it`)
        }
      } catch (error) {
        const what = item.file?.path ?? `the checkpoint ${item.name}`
        return `${what} cannot be put back: ${(error as Error).message}`
      }
    }
    this.#folders.done(of, items)
    return undefined
  }

  /** Who had it last is this node: what is here is as new as what was carried, or newer. */
  async #isOurs({ node, file }: StagedItem): Promise<boolean> {
    if (node !== this.#world.node || file === undefined) return false
    return (await lstat(file.path).catch(() => undefined))?.isFile() === true
  }

  #writeCheckpoint(of: Of & { readonly resources: readonly ResourceName[] }, { name, sum }: StagedItem, bytes: Uint8Array) {
    if (!isName(name)) return
    if (createHash('sha256').update(bytes).digest('hex') !== sum) throw new Error('what was carried is not what was left')
    for (const resource of of.resources)
      writeFileSync(join(this.#world.runFolder.folder('checkpoints', of.group, resource), name), bytes, { mode: 0o600 })
  }

  #of(group: GroupName): readonly Watched[] {
    return [...this.#watched.values()].filter((one) => one.group === group)
  }

  #watch({ group, token }: Of, resource: ResourceName, path: string) {
    const id = `${group}@${resource}@${path}`
    const known = this.#watched.get(id)
    if (known?.token === token) return
    if (known !== undefined) this.#unwatch(known)
    const key = fileKey(resource, createHash('sha256').update(path).digest('hex').slice(0, 32))
    const one: Watched = { group, token, resource, path, key, watcher: undefined, due: undefined, told: '', seen: '', looking: undefined }
    this.#watched.set(id, one)
    this.#follow(one)
    this.#lookSoon(one)
  }

  #unwatch(one: Watched) {
    one.watcher?.close()
    one.watcher = undefined
    clearTimeout(one.due)
    this.#watched.delete(`${one.group}@${one.resource}@${one.path}`)
  }

  /** The folder, and not the file: many put a new one in the place of the old. */
  #follow(one: Watched) {
    const name = basename(one.path)
    try {
      one.watcher = watch(dirname(one.path), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) this.#lookSoon(one)
      })
      one.watcher.on('error', () => {
        one.watcher?.close()
        one.watcher = undefined
      })
    } catch {
      // The folder is not there yet, or no watches are left: the looks go on.
    }
  }

  #lookAtAll() {
    for (const one of this.#watched.values()) {
      if (one.watcher === undefined) this.#follow(one)
      this.#lookSoon(one)
    }
  }

  #lookSoon(one: Watched) {
    one.due ??= setTimeout(() => {
      one.due = undefined
      void this.#look(one, false)
    }, gatherFor)
  }

  /** One at a time of a file. */
  async #look(one: Watched, isLast: boolean): Promise<void> {
    await one.looking
    const looking = this.#lookNow(one, isLast).catch((error: unknown) =>
      this.#world.log(`${one.path} cannot be looked at: ${String(error)}`),
    )
    one.looking = looking
    await looking
    if (one.looking === looking) one.looking = undefined
  }

  async #lookNow(one: Watched, isLast: boolean): Promise<void> {
    const { group, token, resource, path, key } = one
    const seen = glance(path)
    if (!isLast && seen !== '' && seen === one.seen) return
    const now = await readFileNow(path)
    if (now.kind === 'unsteady') return this.#world.log(`${path} of ${group} changes all the time: it is carried as it was`)
    one.seen = now.kind === 'read' ? seen : ''
    const file = { resource, path, mode: 0, owner: 0, ownerGroup: 0 }
    const told =
      now.kind === 'read' ? `${now.sum} ${now.mode} ${now.owner} ${now.ownerGroup}` : now.kind === 'missing' ? 'missing' : now.detail
    if (told === one.told) return
    if (now.kind === 'read') {
      const { mode, owner, ownerGroup, sum, bytes } = now
      await this.#folders.capture({ group, token }, { key, file: { ...file, mode, owner, ownerGroup }, size: bytes.length, sum }, bytes)
    } else if (now.kind === 'problem') {
      this.#world.log(`${path} of ${group} is not carried along: ${now.detail}`)
      await this.#folders.capture({ group, token }, { key, file, size: 0, sum: '', problem: now.detail }, undefined)
    }
    // What is not there is not carried, and what was carried of it before stays.
    one.told = told
    if (now.kind !== 'missing') this.#world.report({ kind: 'captured', group, token })
  }
}

/** Cheap to have; the same for a file that has not changed. Empty where that cannot be told. */
function glance(path: string): string {
  try {
    const { ino, size, mtimeMs, ctimeMs } = lstatSync(path)
    return `${ino} ${size} ${mtimeMs} ${ctimeMs}`
  } catch {
    return ''
  }
}
