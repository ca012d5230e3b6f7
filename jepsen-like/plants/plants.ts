/**
 * Classic mistakes, each put into a copy of the compiled program: what a harness is worth is shown by what it finds.
 *
 * A plant names the workload and the fault that find it, the judge that says so, and the time within which some run does. The text
 * that it changes must be in the program exactly once, so that a program that has changed does not pass as one that was broken.
 */

export interface Change {
  /** Below `dist/src`. */
  readonly file: string
  /** Runs of white space in it stand for any. */
  readonly from: string
  readonly to: string
}

export interface Plant {
  readonly name: string
  readonly mistake: string
  readonly changes: readonly Change[]
  readonly workloads: readonly string[]
  readonly nemesis: readonly string[]
  /** Any of these must say that it is invalid. */
  readonly judges: readonly string[]
  /** Seconds of clients and faults in one run, and how many runs with further seeds there may be. */
  readonly seconds: number
  readonly runs: number
  readonly settings?: Readonly<Record<string, unknown>>
  readonly rest?: readonly [number, number]
}

/** Takeovers without a device, by the lease alone. */
const byLease = { acceptGuardianLease: true }

export const plants: readonly Plant[] = [
  {
    name: 'no-sync',
    mistake: 'what is called durable was never synced',
    changes: [{ file: 'io/store/disk.js', from: 'sync: () => syncData(fd),', to: 'sync: async () => undefined,' }],
    workloads: ['register', 'set'],
    nemesis: ['power-all'],
    judges: ['linearizable', 'convergence'],
    seconds: 40,
    runs: 2,
  },
  {
    name: 'acknowledged-before-disk',
    mistake: 'a follower acknowledges an entry before it is on its disk, and the leader counts itself before its own',
    changes: [
      {
        file: 'core/raft/persistence.js',
        from: 'const isPending = this.hardStateChanged || this.entries.length > 0; this.hold(isPending ? this.sequence + 1 : this.sequence, to, message);',
        to: 'this.hold(0, to, message);',
      },
      {
        file: 'core/raft/replication.js',
        from: 'this.followers.reachedByQuorum(state.persistence.durableIndex, (progress) => progress.matchIndex)',
        to: 'this.followers.reachedByQuorum(state.log.lastIndex, (progress) => progress.matchIndex)',
      },
    ],
    workloads: ['register', 'set'],
    nemesis: ['power-all', 'disk-hang'],
    judges: ['linearizable', 'convergence'],
    seconds: 60,
    runs: 4,
  },
  {
    name: 'stale-read',
    mistake: 'a node answers from its own copy what was asked to be linearizable',
    changes: [{ file: 'api/cluster/reading.js', from: 'await node.barrier(timeoutMs); return true;', to: 'return true;' }],
    workloads: ['register', 'kv'],
    nemesis: ['pause-daemon', 'cut-node'],
    judges: ['linearizable'],
    seconds: 30,
    runs: 3,
  },
  {
    name: 'stale-leader',
    mistake: 'a leader takes its lead for granted: readings and leases wait for no quorum, and it never steps down by itself',
    changes: [
      {
        file: 'core/raft/heartbeats.js',
        from: 'this.followers.reachedByQuorum(this.rounds.current, (progress) => progress.ackedRound)',
        to: 'this.rounds.current',
      },
      {
        file: 'core/raft/lead.js',
        from: 'if (!this.followers.hearsQuorum())',
        to: 'if (false)',
      },
    ],
    workloads: ['register', 'kv'],
    nemesis: ['cut-leader', 'cut-out'],
    judges: ['linearizable'],
    seconds: 45,
    runs: 4,
    rest: [1_500, 3_000],
  },
  {
    name: 'committed-by-one',
    mistake: 'an entry is committed as soon as the leader has it',
    changes: [
      {
        file: 'core/raft/replication.js',
        from: 'this.followers.reachedByQuorum(state.persistence.durableIndex, (progress) => progress.matchIndex)',
        to: 'state.persistence.durableIndex',
      },
    ],
    workloads: ['register', 'set', 'append'],
    nemesis: ['cut-leader'],
    judges: ['linearizable', 'convergence'],
    seconds: 40,
    runs: 3,
    rest: [1_500, 3_000],
  },
  {
    name: 'revision-not-compared',
    mistake: 'If-Match is taken and not looked at',
    changes: [
      {
        file: 'core/cluster/context.js',
        from: 'precondition.ifRevision !== undefined && precondition.ifRevision !== (found ?? 0)',
        to: 'false',
      },
    ],
    workloads: ['register', 'append'],
    nemesis: ['none'],
    judges: ['linearizable'],
    seconds: 12,
    runs: 2,
  },
  {
    name: 'request-forgotten',
    mistake: 'the record of an Idempotency-Key is lost: a repeated request is carried out again',
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the program's own text.
    changes: [{ file: 'api/cluster/changing.js', from: 'requestId: `idem-${key}`', to: 'requestId: `idem-${key}-${Math.random()}`' }],
    workloads: ['idempotent'],
    nemesis: ['none'],
    judges: ['once'],
    seconds: 10,
    runs: 1,
  },
  {
    name: 'unknown-called-failed',
    mistake: 'a request whose fate is unknown is answered as one that was not carried out',
    changes: [{ file: 'node/requests.js', from: 'const error = waiting.sent', to: 'const error = false' }],
    workloads: ['register', 'set', 'kv'],
    nemesis: ['cut-in', 'pause-daemon'],
    judges: ['linearizable'],
    seconds: 60,
    runs: 4,
    rest: [1_000, 2_500],
  },
  {
    name: 'event-skipped',
    mistake: 'a stream goes on one revision too far',
    changes: [
      {
        file: 'api/cluster/event-stream.js',
        from: 'next = { revision: last.revision, number: last.number + 1 };',
        to: 'next = { revision: last.revision + 2, number: 0 };',
      },
    ],
    workloads: ['events', 'register'],
    nemesis: ['none'],
    judges: ['events'],
    seconds: 15,
    runs: 2,
  },
  {
    name: 'event-repeated',
    mistake: 'the last event of what is sent at once is sent twice',
    changes: [
      {
        file: 'api/cluster/event-stream.js',
        from: "rows.map((row) => lineOf(row, sse)).join('')",
        to: "[...rows, ...rows.slice(-1)].map((row) => lineOf(row, sse)).join('')",
      },
    ],
    workloads: ['events', 'register'],
    nemesis: ['none'],
    judges: ['events'],
    seconds: 10,
    runs: 1,
  },
  {
    name: 'device-believed',
    mistake: 'a fence device is believed without being read back',
    changes: [
      {
        file: 'core/arbiter/attempt-runner.js',
        from: 'run.offReadings.every((readings) => readings >= 2)',
        to: 'run.offReadings.every((readings) => readings >= 1)',
      },
    ],
    workloads: ['owner'],
    nemesis: ['cut-device-deaf'],
    judges: ['one-owner'],
    seconds: 30,
    runs: 2,
  },
  {
    name: 'grant-without-proof',
    mistake: 'the group of a silent node is granted to another one at once',
    changes: [
      {
        file: 'core/planner/plan.js',
        from: 'function waitForProof(input, holder) {',
        to: 'function waitForProof(input, holder) { if (holder.suspected) return place(input);',
      },
      {
        file: 'core/cluster/ownership.js',
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is the program's own text.
        from: 'if (mayStillRun(group)) return `its former holder ${group.holder.node} is not proved stopped`;',
        to: '',
      },
      {
        file: 'core/cluster/ownership.js',
        from: 'if (group.holder !== null && (group.proof === null || group.proof.boot !== group.holder.boot))',
        to: 'if (false)',
      },
      {
        file: 'core/cluster/ownership.js',
        from: "invariant(!mayStillRun(group), 'nobody else may still run the group (P1)', { group: group.name });",
        to: '',
      },
    ],
    workloads: ['owner'],
    nemesis: ['cut-holder'],
    judges: ['one-owner', 'proof-before-grant'],
    seconds: 30,
    runs: 2,
  },
  {
    name: 'lease-not-obeyed',
    mistake: 'a guardian does not end what runs when the lease is over',
    changes: [{ file: 'core/guardian/guardian.js', from: 'const due = this.#mayRun(now) ?', to: 'const due = true ?' }],
    workloads: ['owner'],
    nemesis: ['cut-device-refuse'],
    judges: ['one-owner'],
    seconds: 50,
    runs: 2,
    settings: byLease,
  },
  {
    name: 'lease-judged-early',
    mistake: 'a lease counts as over as soon as nothing is heard',
    changes: [
      {
        file: 'core/detector/lease.js',
        from: 'const bound = (leaseMs + emergencyStopMs + 1_000) * (1 + clockDrift);',
        to: 'const bound = 0;',
      },
    ],
    workloads: ['owner'],
    nemesis: ['cut-device-refuse'],
    judges: ['one-owner'],
    seconds: 50,
    runs: 2,
    settings: byLease,
  },
  {
    name: 'lease-by-wall-clock',
    mistake: 'leases are counted on the wall clock',
    changes: [
      {
        file: 'io/clock/real-clock.js',
        from: 'return bootInstant(10 * hundredthsIn(buffer, length));',
        to: 'return bootInstant(Date.now());',
      },
    ],
    workloads: ['owner'],
    nemesis: ['clock-jump'],
    judges: ['no-needless-action', 'convergence', 'one-owner'],
    seconds: 40,
    runs: 3,
  },
  {
    name: 'daemon-takes-services-along',
    mistake: 'when a daemon dies, its node ends what it runs',
    changes: [
      {
        file: 'core/guardian/guardian.js',
        from: "if (event.role === 'daemon') this.#lastAlive = undefined;",
        to: "if (event.role === 'daemon') { this.#lastAlive = undefined; if (this.#emergency === undefined && this.#view.open.size > 0) this.#beginEmergency('the daemon has died', now); }",
      },
    ],
    workloads: ['owner'],
    nemesis: ['kill-holder-daemon'],
    judges: ['no-needless-action'],
    seconds: 30,
    runs: 3,
  },
  {
    name: 'daemon-not-restarted',
    mistake: 'nobody restarts a daemon that has died',
    changes: [
      {
        file: 'core/guardian/guardian.js',
        from: 'return this.#supervisionOf(event.role).onEnded(now, event.refused);',
        to: "return event.role === 'daemon' ? undefined : this.#supervisionOf(event.role).onEnded(now);",
      },
    ],
    workloads: ['owner'],
    nemesis: ['kill-holder-daemon'],
    judges: ['no-needless-action', 'convergence'],
    seconds: 40,
    runs: 2,
  },
  {
    name: 'services-not-adopted',
    mistake: 'a monitor that starts anew does not know what the one before it ran',
    changes: [{ file: 'core/monitor/monitor.js', from: 'if (record.boot !== this.#config.boot) {', to: 'if (true) {' }],
    workloads: ['owner'],
    nemesis: ['kill-holder-monitor'],
    judges: ['one-owner', 'no-needless-action'],
    seconds: 40,
    runs: 3,
  },
  {
    name: 'stopped-not-verified',
    mistake: 'a group is called stopped before it has been stopped',
    changes: [{ file: 'core/monitor/monitor.js', from: 'if (run === undefined || run.token > token) {', to: 'if (true) {' }],
    workloads: ['owner', 'switchover'],
    nemesis: ['none'],
    judges: ['one-owner'],
    seconds: 30,
    runs: 2,
  },
  {
    name: 'checkpoint-lost',
    mistake: 'the next holder starts without what the last one left',
    changes: [{ file: 'monitor/checkpoints.js', from: 'for (const [name, value] of checkpoints)', to: 'for (const [name, value] of [])' }],
    workloads: ['owner', 'switchover'],
    nemesis: ['none'],
    judges: ['checkpoints'],
    seconds: 25,
    runs: 2,
  },
]
