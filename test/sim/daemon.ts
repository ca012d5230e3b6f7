/**
 * The daemon process of a simulated machine: the real `Formation` and the real `QuorateNode`, with a simulated world
 * below them. Does what `src/node/daemon.ts` does, in virtual time.
 */
import type { BootInstant, GroupName, MemberId, NodeId, RequestId, SessionId } from '../../src/base/index.js'
import type { CommandResult } from '../../src/core/cluster/index.js'
import { ClusterState, type Command, Formation, type FormationEffect, type FormationMessage } from '../../src/core/cluster/index.js'
import type { DiskOrder } from '../../src/core/disks/index.js'
import type { GuardianOrder, GuardianState } from '../../src/core/guardian/index.js'
import type { MonitorOrder, MonitorReport } from '../../src/core/monitor/index.js'
import type { Identity, Store } from '../../src/io/store/index.js'
import {
  CopyNotices,
  type Frame,
  type NodeIdentity,
  type NodeIo,
  type Outcome,
  type QuorateNode,
  tickInterval,
} from '../../src/node/index.js'
import { SimStore } from './disk.js'
import type { SimGuardian } from './guardian.js'
import type { Machine } from './machine.js'
import type { SimMonitor } from './monitor.js'
import { linkPort } from './network.js'
import { Process } from './process.js'

const formationInterval = 100
const guardianSilence = 1_000
const linkRetry = 100

export class SimDaemon {
  readonly process: Process
  readonly machine: Machine
  /** It has opened its ports. */
  listening = false
  node: QuorateNode | undefined
  private readonly store: SimStore
  private readonly formation: Formation
  private identity: Identity | undefined
  private readonly session: SessionId
  private readonly folder: string
  private monitor: SimMonitor | undefined
  private readonly ownMonitors = new Map<GroupName, SimMonitor>()
  private guardian: SimGuardian | undefined
  private readonly hellos = new Map<GroupName | undefined, MonitorReport>()
  private guardianState: GuardianState | undefined
  private guardianHeard = 0

  constructor(machine: Machine) {
    this.machine = machine
    this.process = new Process(machine, 'daemon')
    this.session = `${machine.bootId}/${++machine.runFolder.sessions}` as SessionId
    this.store = new SimStore(machine.disk, this.process, {
      onPersisted: (sequence) => this.node?.persisted(sequence),
      onFailure: (error) => {
        machine.log(`error: ${error instanceof Error ? error.message : String(error)}`)
        machine.world.seen.add('write failed')
        this.process.end('killed')
      },
    })
    this.identity = machine.disk.identity
    this.folder = machine.world.freshId()
    const found =
      this.identity === undefined || this.identity.phase === 'quarantined' || this.identity.phase === 'recovering'
        ? undefined
        : { phase: this.identity.phase, plan: { clusterId: this.identity.clusterId, voters: this.identity.voters } }
    const mint = (what: string) => `${what}-${machine.world.freshId()}`
    this.formation = new Formation(machine.name, machine.world.names, found, mint, machine.invitation !== undefined)
    this.process.onEnd(() => {
      this.node?.stop()
      this.monitor?.disconnect(this)
      for (const own of this.ownMonitors.values()) own.disconnect(this)
      this.guardian?.disconnect(this)
    })
    const { upMin, upMax } = machine.world.options
    this.process.after(upMin + machine.random.next() * (upMax - upMin), () => this.start())
  }

  private start(): void {
    const { machine } = this
    if (machine.disk.isDamaged) {
      machine.log('error: STORE_CORRUPT: the log on disk fails its checksum')
      this.process.end('killed')
      return
    }
    this.listening = true
    machine.daemonSince = machine.scheduler.now
    machine.world.network.daemonUp(this)
    this.guardianHeard = machine.clock.now()
    this.process.every(tickInterval, () => this.tick())
    this.process.every(linkRetry, () => this.connect())
    this.connect()
    if (this.identity?.phase === 'formed') return this.startNode(this.identity)
    const form = () => {
      if (this.node !== undefined) return
      this.performFormation(this.formation.tick())
      this.process.after(formationInterval, form)
    }
    form()
  }

  private tick(): void {
    const { machine } = this
    this.node?.tick()
    if (machine.world.options.services && this.guardianState === undefined && machine.clock.now() - this.guardianHeard > guardianSilence) {
      this.guardianHeard = machine.clock.now()
      machine.startGuardian()
    }
  }

  // Formation.

  private performFormation(effects: readonly FormationEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.machine.world.network.frame(this, effect.to, effect.message)
      if (effect.kind === 'join') {
        const address = { host: this.machine.name, port: linkPort }
        this.machine.world.network.frame(this, effect.to, {
          kind: 'join',
          folder: this.folder,
          address,
          checksum: this.machine.invitation ?? null,
        })
      }
      if (effect.kind === 'write-joined') this.writeIdentity(effect.member, effect.clusterId, 'formed', [])
      if (effect.kind !== 'write') continue
      const memberId = effect.plan.voters.find((voter) => voter.node === this.machine.name)?.member as MemberId
      this.writeIdentity(memberId, effect.plan.clusterId, effect.phase, effect.plan.voters)
    }
  }

  private writeIdentity(
    memberId: MemberId,
    clusterId: Identity['clusterId'],
    phase: 'forming' | 'formed',
    voters: Identity['voters'],
  ): void {
    const written: Identity = { clusterId, memberId, node: this.machine.name, phase, voters }
    this.store.writeIdentityThen(written, () => {
      this.performFormation(this.formation.written())
      if (phase === 'formed') this.startNode(written)
    })
  }

  private startNode(identity: Identity): void {
    const { machine } = this
    this.identity = identity
    const { rows, ...rest } = machine.disk.restore()
    const state = ClusterState.restored(rest.applied.index, rows)
    machine.world.checks.restored(machine, state)
    machine.log(`daemon up: applied ${rest.applied.index}, last ${rest.base.index + rest.entries.length}, term ${rest.hardState.term}`)
    const restored = { ...rest, rows: [], identity }
    this.node = machine.world.options.makeNode(this.self(), this.io(), restored, state)
    const notices = new CopyNotices({
      self: machine.name,
      boot: machine.bootId,
      tell: (_copy, _row, _notice, done) => void this.process.after(2 + machine.random.next() * 30, done),
      propose: (command, done) =>
        this.node?.submitCommand(command, { timeoutMs: 2_000 }, (outcome) => done(outcome.ok && outcome.value.ok)),
    })
    this.node.onApplied(({ index, events, changes, replaced }) => {
      if (replaced === true || changes.some(({ table }) => table === 'scalables' || table === 'groups')) notices.look(state)
      if (replaced === true) {
        machine.world.seen.add('snapshot installed')
        machine.world.checks.restored(machine, state)
      }
      machine.world.checks.applied(state, index, events)
    })
    for (const [from, hello] of this.hellos) this.node.monitorReport(hello, from)
    if (this.guardianState !== undefined) this.node.guardianReported(this.guardianState)
  }

  private self(): NodeIdentity {
    const { machine } = this
    const { world } = machine
    const { emergencyStop } = world.options
    return {
      node: machine.name,
      boot: machine.bootId,
      session: this.session,
      clusterName: 'sim',
      members: new Map(world.names.map((name) => [name, { host: name, port: linkPort }])),
      links: [{ host: machine.name, port: linkPort }],
      guardian: { host: machine.name, port: 7401 },
      api: null,
      level: world.options.levelOf(machine.name),
      guard: { guarded: false, watchdog: 'none', watchdogTimeout: 0, emergencyStop },
    }
  }

  private io(): NodeIo {
    const { machine, process } = this
    const { world } = machine
    const { network } = world
    return {
      clock: machine.clock,
      store: this.checkedStore(),
      peers: {
        send: (to, frame) => {
          this.hasSent = true
          return network.frame(this, to, frame)
        },
        levelOf: (node) => world.options.levelOf(node),
        isConnected: (node) => network.isConnected(this, node),
        setIdentity: () => undefined,
        setPeers: () => undefined,
        avoid: () => undefined,
        reach: () => undefined,
        close: () => Promise.resolve(),
      },
      datagrams: { send: (_link, to, message) => network.datagram(this, to, message), close: () => Promise.resolve() },
      monitor: {
        send: (order, to) => this.orderMonitor(order, to),
        want: (groups) => this.wantMonitors(groups),
        open: [...machine.runFolder.records.values()].filter(({ dedicated }) => dedicated === true).map(({ group }) => group),
      },
      guardian: { send: (order) => this.orderGuardian(order) },
      unseal: (text) => text,
      disks: { want: () => undefined, send: (order) => this.askDisk(order) },
      lease: { write: (deadline) => this.leaseRenewed(deadline) },
      freshId: () => world.freshId(),
      seed: machine.random.between(1, 2 ** 31),
      ...(world.options.compaction === undefined ? {} : { compaction: world.options.compaction }),
      defer: (run) =>
        process.post(() => {
          this.hasSent = false
          run()
        }),
      log: (level, text) => {
        machine.log(`${level === 'info' ? '' : `${level}: `}${text}`)
        const leads = /^leads in term (\d+)$/.exec(text)
        if (leads !== null) world.checks.leads(machine, Number(leads[1]))
        if (text.startsWith('the log is compacted')) world.seen.add('log compacted')
        if (/^transfer of the lead .* done$/.test(text)) world.seen.add('lead handed over')
      },
      fatal: (error) => world.fail(`${machine.name} cannot go on: ${error instanceof Error ? error.message : String(error)}`, error),
    }
  }

  private askDisk(order: DiskOrder): void {
    const { machine, process } = this
    const { bootId } = machine
    const disk = machine.world.sharedDisks.get(order.disk)
    disk?.send(machine, order, (answer) => {
      // It stays with the program that keeps the session, and goes with the power.
      if (machine.bootId === bootId && process.alive) process.now(() => this.node?.diskAnswered(answer))
    })
  }

  /** Messages to other nodes, in this turn of the daemon. */
  private hasSent = false

  private checkedStore(): Store {
    const { store, machine } = this
    return {
      writeIdentity: (identity) => store.writeIdentity(identity),
      append: (record, atOnce) => {
        // Real messages leave at the end of the turn.
        if (atOnce === true && this.hasSent) machine.world.fail(`${machine.name} has messages wait for its disk`)
        if (atOnce === true) machine.world.seen.add('log written at once')
        machine.world.checks.appended(machine, record.entries)
        store.append(record)
      },
      apply: (applied, changes) => {
        machine.world.checks.stored(machine, applied, changes)
        return store.apply(applied, changes)
      },
      syncApplied: () => store.syncApplied(),
      cutLog: (index) => store.cutLog(index),
      get logBytes() {
        return store.logBytes
      },
      openSnapshot: () => store.openSnapshot(),
      receiveSnapshot: (meta) => store.receiveSnapshot(meta),
      close: () => store.close(),
    }
  }

  private leaseRenewed(deadline: BootInstant): void {
    this.machine.runFolder.extendLease(deadline)
    this.machine.world.checks.renewed(this.machine)
  }

  // The other processes of the node, over their sockets.

  private connect(): void {
    const { monitor, guardian } = this.machine
    if (this.monitor === undefined && monitor?.process.alive === true && monitor.listening) {
      this.monitor = monitor
      monitor.process.onEnd(() => this.process.afterTrue(1, () => this.monitorLost(monitor)))
      monitor.process.now(() => monitor.connect(this))
    }
    for (const group of this.machine.runFolder.monitors) {
      const own = this.machine.ownMonitors.get(group)
      if (this.ownMonitors.has(group) || own?.process.alive !== true || !own.listening) continue
      this.ownMonitors.set(group, own)
      own.process.onEnd(() => this.process.afterTrue(1, () => this.monitorLost(own)))
      own.process.now(() => own.connect(this))
    }
    if (this.guardian === undefined && guardian?.process.alive === true && guardian.listening) {
      this.guardian = guardian
      guardian.process.onEnd(() => this.process.afterTrue(1, () => this.guardianLost(guardian)))
      guardian.process.now(() => guardian.connect(this))
    }
  }

  private monitorLost(monitor: SimMonitor): void {
    const { only } = monitor
    if ((only === undefined ? this.monitor : this.ownMonitors.get(only)) !== monitor) return
    if (only === undefined) this.monitor = undefined
    else this.ownMonitors.delete(only)
    this.hellos.delete(only)
    this.node?.monitorDisconnected(only)
  }

  private wantMonitors(groups: readonly GroupName[]): void {
    this.machine.runFolder.monitors = groups
    for (const [group, own] of [...this.ownMonitors]) {
      if (groups.includes(group)) continue
      this.ownMonitors.delete(group)
      own.disconnect(this)
    }
  }

  private guardianLost(guardian: SimGuardian): void {
    if (this.guardian !== guardian) return
    this.guardian = undefined
    this.guardianState = undefined
    this.guardianHeard = this.machine.clock.now()
    this.node?.guardianReported(undefined)
  }

  private orderMonitor(order: MonitorOrder, to: GroupName | undefined): void {
    const one = to === undefined ? this.monitor : this.ownMonitors.get(to)
    const all = order.kind === 'deadline' ? [this.monitor, ...this.ownMonitors.values()] : [one]
    for (const monitor of all) monitor?.process.afterTrue(0.1, () => monitor.order(order, this))
  }

  private orderGuardian(order: GuardianOrder): void {
    const { guardian } = this
    guardian?.process.afterTrue(0.1, () => guardian.order(order))
  }

  report(report: MonitorReport, from?: GroupName): void {
    this.process.afterTrue(0.1, () => {
      if (report.kind === 'hello') this.hellos.set(from, report)
      this.node?.monitorReport(report, from)
    })
  }

  guardianSays(state: GuardianState): void {
    this.process.afterTrue(0.1, () => {
      this.guardianState = state
      this.node?.guardianReported(state)
    })
  }

  // The network brings.

  received(from: NodeId, frame: unknown): void {
    const { kind } = frame as { kind?: string }
    if (kind === 'joined') {
      const { folder, clusterId, member, error } = frame as Extract<Frame, { kind: 'joined' }>
      if (folder === this.folder) this.performFormation(this.formation.joined({ clusterId, member, refused: error?.detail }))
    } else if (kind === 'formation') this.performFormation(this.formation.received(from, frame as FormationMessage))
    else this.node?.frame(from, frame)
  }

  submit(
    command: Command,
    options: { requestId?: RequestId; fingerprint?: string; timeoutMs?: number },
    done: (outcome: Outcome<CommandResult>) => void,
  ): void {
    this.node?.submitCommand(command, options, done)
  }
}
