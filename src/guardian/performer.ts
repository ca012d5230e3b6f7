/** Carries out what `GuardianCore` wants. What takes time comes back as an event. */
import { type BootId, bootInstant, type GroupName, type ResourceName, type Token, unreachable } from '../base/index.js'
import type { GuardianEffect, GuardianEvent } from '../core/guardian/index.js'
import { isCalm, type RunRecord } from '../core/monitor/index.js'
import { type Agents, type Method, openAgents, type Whereabouts } from '../io/agents/index.js'
import type { Clock } from '../io/clock/index.js'
import { allContainments, type Containment } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'
import type { Watchdog } from '../io/watchdog/index.js'
import type { Answers, Asker } from './answers.js'
import type { Children } from './children.js'
import { killMonitors } from './kill-monitors.js'

export interface GuardianWorld {
  readonly boot: BootId
  readonly runFolder: RunFolder
  readonly logDir: string
  readonly containment: Containment
  readonly clock: Clock
  readonly children: Children
  readonly answers: Answers
  readonly watchdog: Watchdog | undefined
  readonly post: (event: GuardianEvent) => void
  readonly tellDaemon: (message: unknown) => void
  readonly log: (text: string) => void
  readonly onExit: () => void
}

const killMonitorsMax = 2_000
/** How long processes may take to stand still, or to go on. */
const freezeMax = 500

function placesOf({ group, containment, progress }: RunRecord): readonly Whereabouts[] {
  return Object.entries(progress).flatMap(([resource, { touched }]) =>
    touched ? [{ group, resource: resource as ResourceName, place: containment }] : [],
  )
}

export class GuardianPerformer {
  readonly #world: GuardianWorld
  readonly #methods = new Map<number, Method>()
  readonly #agents: Agents

  constructor(world: GuardianWorld) {
    this.#world = world
    const { runFolder, logDir, clock } = world
    const nobody = { onLearnt: () => {}, onEnded: () => {}, onEmptied: () => {}, onChanged: () => {} }
    this.#agents = openAgents({ runFolder, logDir, clock }, nobody)
  }

  perform(effect: GuardianEffect) {
    const { runFolder, children, post } = this.#world
    switch (effect.kind) {
      case 'spawn':
        return children.spawn(effect.role)
      case 'signal':
        return children.signal(effect.role, effect.signal)
      case 'seal':
        return runFolder.seals.seal(effect.group, effect.token)
      case 'write-emergency': {
        const { boot, clock } = this.#world
        return runFolder.writeEmergency({ boot, reason: effect.reason, since: clock.boot(), ...effect.left })
      }
      case 'clear-emergency':
        return runFolder.clearEmergency()
      case 'write-detachment':
        return runFolder.writeDetachment(this.#world.boot, effect.detachment)
      case 'kill-monitors':
        void killMonitors(runFolder, this.#containments(), killMonitorsMax).then((gone) => post({ kind: 'monitors-killed', gone }))
        return
      case 'read-records':
        return post({ kind: 'records', ...runFolder.readRecords() })
      case 'write-record':
        return runFolder.writeRecord(effect.record)
      case 'delete-record':
        return runFolder.deleteRecord(effect.group, effect.token)
      case 'begin': {
        const { action } = effect
        const method = this.#agents.begin(effect.request, () => bootInstant(0)) // Never a start.
        this.#methods.set(action, method)
        void method.result.then((result) => {
          this.#methods.delete(action)
          post({ kind: 'method-done', action, result })
        })
        return
      }
      case 'cancel':
        return this.#methods.get(effect.action)?.cancel()
      case 'kill':
        void this.#agents.kill(effect, effect.timeout).then((empty) => post({ kind: 'killed', action: effect.action, empty }))
        return
      case 'freeze':
        void this.#freeze(effect.group, effect.token).then(({ done, detail }) => post({ ...effect, kind: 'frozen', done, detail }))
        return
      case 'thaw':
        void this.#thaw(effect.group, effect.token).then((done) => post({ ...effect, kind: 'thawed', done }))
        return
      case 'answer':
        return this.#world.answers.send(effect.answer, effect.to as Asker)
      case 'tell-daemon':
        return this.#world.tellDaemon(effect.state)
      case 'log':
        return this.#world.log(effect.text)
      case 'feed-watchdog':
        return this.#feedWatchdog()
      case 'disarm-watchdog':
        return this.#world.watchdog?.disarm()
      case 'exit':
        return this.#world.onExit()
      default:
        return unreachable(effect)
    }
  }

  async #freeze(group: GroupName, token: Token): Promise<{ readonly done: boolean; readonly detail: string }> {
    const record = this.#world.runFolder.readRecord(group, token)
    if (record === undefined) return { done: false, detail: 'its run record cannot be read' }
    if (!isCalm(record)) return { done: false, detail: 'something of it is being started or stopped' }
    const stand = await Promise.all(placesOf(record).map((place) => this.#agents.freeze(place, freezeMax)))
    if (stand.every((done) => done)) return { done: true, detail: '' }
    // Nothing stays half frozen: the lease may be back by now, and a stop has to reach what it stops.
    await Promise.all(placesOf(record).map((place) => this.#agents.thaw(place, freezeMax)))
    return { done: false, detail: 'its processes cannot be frozen' }
  }

  async #thaw(group: GroupName, token: Token): Promise<boolean> {
    const record = this.#world.runFolder.readRecord(group, token)
    if (record === undefined) return true // It has ended.
    return (await Promise.all(placesOf(record).map((place) => this.#agents.thaw(place, freezeMax)))).every((done) => done)
  }

  close() {
    this.#agents.close()
  }

  #isFed = false

  #feedWatchdog() {
    const fed = this.#world.watchdog?.feed() === true
    if (fed === this.#isFed) return
    this.#isFed = fed
    this.#world.post({ kind: 'watchdog', armed: fed })
  }

  #containments(): readonly Containment[] {
    const { containment, runFolder } = this.#world
    const { readable } = runFolder.readRecords()
    return allContainments(
      containment,
      readable.map((record) => record.containment),
    )
  }
}
