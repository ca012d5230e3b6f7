/** What a leader wants done about silent nodes: asked, challenged, condemned, called off, let in again. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type BootId,
  bootInstant,
  type CaseId,
  effectiveSettings,
  type GroupName,
  instant,
  type LogTime,
  type NodeId,
} from '../../../src/base/index.js'
import { type Conduct, conduct, type HeardGuardian, type Sight } from '../../../src/core/arbiter/index.js'
import { Detector, LeaseGiver } from '../../../src/core/detector/index.js'
import type { GuardianAnswer } from '../../../src/core/guardian/index.js'
import { Database, n1, n2, n3, nodes } from '../cluster/database.js'

const settings = effectiveSettings({ profile: 'fast' })

/** n2 leads; everybody was just heard. */
class Leader {
  now = 10_000
  since = 0
  settings = settings
  readonly database: Database
  readonly detector: Detector
  readonly guardians = new Map<NodeId, HeardGuardian>()
  readonly seen = new Map<CaseId, ReturnType<typeof instant>>()
  readonly ended = new Map<CaseId, ReturnType<typeof instant>>()
  readonly sights = new Map<NodeId, Sight>()
  /** As members of the log. */
  answering = nodes
  private ids = 0

  constructor(database = new Database().formed()) {
    this.database = database
    this.detector = new Detector(n2, nodes, instant(this.now))
    for (const node of nodes) this.hears(node)
    this.wants()
  }

  hears(node: NodeId, life = true): this {
    this.detector.heartbeat(node, 0, instant(this.now), life)
    return this
  }

  /** Time passes, in which only these are heard. */
  waits(span: number, ...heard: NodeId[]): this {
    for (const end = this.now + span; this.now < end; ) {
      this.now += 10
      for (const node of heard) this.hears(node)
      this.detector.tick(instant(this.now), settings, () => ['link', 'guardian'])
    }
    return this
  }

  refuses(node: NodeId, ...ports: string[]): this {
    for (const port of ports) this.detector.refused(node, port, instant(this.now))
    return this
  }

  guardianSays(node: NodeId, answer: Partial<GuardianAnswer>): this {
    const whole = {
      kind: 'guardian-answer',
      node,
      boot: `${node}-1`,
      nonce: '',
      daemonUp: true,
      leaseRemainingMs: 0,
      emergency: 'none',
      sealed: {},
      open: {},
      ...answer,
    }
    this.guardians.set(node, { answer: whole as GuardianAnswer, at: instant(this.now) })
    return this
  }

  cannotReach: readonly NodeId[] = []

  fencing(...of: NodeId[]): this {
    const levels = [[{ agent: 'fence', parameters: {}, timeout: 5_000 }]]
    for (const node of of) this.database.ok({ kind: 'patch-node', node, fencing: { levels, then: 'on' }, precondition: {} })
    return this
  }

  /** What a node last said of whom it reaches both ways; of the others it has heard nothing for a second. */
  sees(node: NodeId, ...mutual: NodeId[]): this {
    const heard = Object.fromEntries(nodes.filter((one) => one !== node).map((one) => [one, mutual.includes(one) ? 10 : 1_000]))
    this.sights.set(node, { age: 10, mutual, heard, oneLink: [] })
    return this
  }

  asked(node: NodeId): this {
    this.database.ok({
      kind: 'start-operation',
      operation: `fence-${node}`,
      operationKind: 'fence',
      subject: node,
      detail: 'a person: because',
    })
    return this
  }

  wants(): string[] {
    return this.conduct().map(show)
  }

  conduct(): readonly Conduct[] {
    return conduct({
      self: n2,
      term: 1 as never,
      now: instant(this.now),
      at: this.database.at as LogTime,
      since: instant(this.since),
      boot: bootInstant(this.now),
      state: this.database.state,
      settings: this.settings,
      detector: this.detector,
      leases: new LeaseGiver(bootInstant(0)),
      guardians: this.guardians,
      caseSeenAt: this.seen,
      attemptEndedAt: this.ended,
      voters: nodes,
      answering: this.answering,
      canReach: (from) => !this.cannotReach.includes(from),
      sightOf: (node) => this.sights.get(node),
      freshId: () => `id${++this.ids}`,
    })
  }
}

function show(wanted: Conduct): string {
  switch (wanted.kind) {
    case 'propose': {
      const { command } = wanted
      if (command.kind === 'open-case') return `open a case of ${command.node}, arbiter ${command.arbiter}`
      if (command.kind === 'attempt') return `attempt ${command.attempt.number} ${command.attempt.action} by ${command.attempt.arbiter}`
      if (command.kind === 'condemn') return `condemn${command.attempt === null ? '' : `, attempt by ${command.attempt.arbiter}`}`
      return command.kind
    }
    case 'withhold':
    case 'resume':
      return `${wanted.kind} ${wanted.node}`
    case 'ask-guardian':
      return `ask ${wanted.node}`
    case 'transfer-lead':
      return `lead to ${wanted.to}`
  }
}

test('a lease that was lowered is counted once this leader has applied the change', () => {
  const leader = new Leader()
  leader.database.ok({ kind: 'patch-settings', patch: { profile: 'slow' } })
  leader.database.ok({ kind: 'patch-settings', patch: { profile: 'fast' } })
  const [count] = leader.conduct()
  assert.ok(count?.kind === 'propose')
  assert.deepEqual(count.command, { kind: 'count-former-lease', revision: leader.database.index })
  leader.database.ok(count.command)
  assert.deepEqual(leader.wants(), [])
})

describe('a silent node', () => {
  test('is asked first, then challenged; the arbiter is another than the leader', () => {
    const leader = new Leader()
    assert.deepEqual(leader.waits(140, n3).wants(), [])
    assert.deepEqual(leader.waits(20, n3).wants(), ['ask n1'])
    assert.deepEqual(leader.waits(70, n3).wants(), ['ask n1', 'open a case of n1, arbiter n3'])
  })

  test('whose ports begin to refuse has its guardian asked at once', () => {
    const leader = new Leader().waits(80, n3)
    assert.deepEqual(leader.wants(), [])
    leader.refuses(n1, 'link')
    assert.deepEqual(leader.wants(), ['ask n1'])
  })

  test('all of whose ports refuse is challenged and condemned without waiting for answers that nobody can give', () => {
    const leader = new Leader().fencing(n1).refuses(n1, 'link', 'guardian').waits(80, n3)
    assert.deepEqual(leader.wants(), ['ask n1', 'open a case of n1, arbiter n3'])
    leader.database.ok(leader.database.openCase(n1, 'c1', { arbiter: n3 }))
    leader.seen.set('c1' as CaseId, instant(leader.now))
    assert.ok(leader.wants().includes('condemn, attempt by n3'), leader.wants().join('; '))
  })

  test('is asked by a new leader too, before it opens a case', () => {
    const leader = new Leader()
    leader.waits(300, n3)
    leader.since = leader.now
    assert.deepEqual(leader.wants(), ['ask n1'])
    assert.deepEqual(leader.waits(80, n3).wants(), ['ask n1', 'open a case of n1, arbiter n3'])
  })

  test('is held while its guardian says that the daemon is down and the lease runs', () => {
    const leader = new Leader()
    leader.waits(230, n3).guardianSays(n1, { daemonUp: false, leaseRemainingMs: 2_000 })
    assert.deepEqual(leader.wants(), ['ask n1'])
    assert.deepEqual(leader.waits(300, n3).wants(), ['ask n1', 'open a case of n1, arbiter n3'], 'only while it answers')
    leader.guardianSays(n1, { daemonUp: true, leaseRemainingMs: 2_000 })
    assert.deepEqual(leader.wants(), ['ask n1'], 'a daemon that is only silent too')
    leader.guardianSays(n1, { daemonUp: true, leaseRemainingMs: 0 })
    assert.deepEqual(leader.wants(), ['ask n1', 'open a case of n1, arbiter n3'])
    leader.guardianSays(n1, { boot: 'another' as BootId, leaseRemainingMs: 2_000 })
    assert.deepEqual(leader.wants(), ['ask n1', 'open a case of n1, arbiter n3'], 'of another boot')
  })

  test('is held for no longer than a lease, whatever its guardian says', () => {
    const leader = new Leader()
    for (let time = 0; time < 40; time++) leader.waits(100, n3)
    leader.guardianSays(n1, { daemonUp: true, leaseRemainingMs: 60_000 })
    assert.deepEqual(leader.wants(), ['ask n1', 'open a case of n1, arbiter n3'])
  })

  test('that was never heard may be starting', () => {
    const leader = new Leader(new Database().formed())
    assert.deepEqual(new Leader().waits(100, n1, n3).wants(), [])
    assert.deepEqual(leader.waits(100, n1, n3).wants(), [])
  })
})

describe('a challenged node', () => {
  const challenged = (...fenced: NodeId[]) => {
    const leader = new Leader().fencing(...fenced)
    leader.waits(230, n3)
    leader.database.ok(leader.database.openCase(n1, 'c1', { arbiter: n3 }))
    leader.seen.set('c1' as CaseId, instant(leader.now))
    return leader
  }

  test('has its time to answer; then it is condemned and answered no more, with the first attempt', () => {
    const leader = challenged(n1)
    assert.deepEqual(leader.waits(70, n3).wants(), ['ask n1'])
    assert.deepEqual(leader.waits(10, n3).wants(), ['ask n1', 'withhold n1', 'condemn, attempt by n3'])
  })

  test('without a device is condemned all the same', () => {
    assert.deepEqual(challenged().waits(80, n3).wants(), ['ask n1', 'withhold n1', 'condemn'])
  })

  test('that shows life is let go', () => {
    assert.deepEqual(challenged(n1).waits(80, n3).hears(n1).wants(), ['resume n1', 'close-case'])
  })

  test('of an earlier leader has its time from this one on', () => {
    const leader = challenged(n1).waits(200, n3)
    leader.seen.clear()
    leader.since = leader.now - 70
    assert.deepEqual(leader.wants(), ['ask n1'])
    leader.since = leader.now - 75
    assert.deepEqual(leader.wants(), ['ask n1', 'withhold n1', 'condemn, attempt by n3'])
  })

  test('is not condemned where the nodes left would be no quorum', () => {
    const leader = challenged(n1)
    leader.database.condemned(n3, 'c2')
    assert.ok(
      !leader
        .waits(200)
        .wants()
        .some((one) => one.startsWith('condemn') || one === 'withhold n1'),
    )
  })

  test('is condemned where they are one by their answers, whatever their boots are', () => {
    const leader = challenged(n1)
    leader.database.ok(leader.database.openCase(n3, 'c3', { arbiter: n2 }))
    leader.database.ok({ kind: 'condemn', caseId: 'c3' as CaseId, attempt: null, reason: 'silent', answering: nodes })
    assert.ok(leader.waits(80, n3).wants().includes('condemn, attempt by n2'))
    leader.answering = [n2]
    assert.ok(!leader.wants().some((one) => one.startsWith('condemn')))
  })

  test('whose guardian has stopped everything is proved by its statement', () => {
    const leader = challenged(n1)
    leader.guardianSays(n1, { nonce: 'nonce-c1', emergency: 'stopped' })
    assert.deepEqual(leader.wants(), ['ask n1', 'guardian-proof'])
    leader.guardianSays(n1, { nonce: 'nonce-c0', emergency: 'stopped' })
    assert.deepEqual(leader.wants(), ['ask n1'])
    leader.guardianSays(n1, { nonce: 'nonce-c1', emergency: 'stopped', open: { web: 1 } as never })
    assert.deepEqual(leader.wants(), ['ask n1'])
  })

  test('is asked for all that it holds; a statement of a part of it proves that part', () => {
    const database = new Database().formed()
    const names = ['a', 'b'] as GroupName[]
    for (const name of names) database.group(name)
    for (const name of names) database.granted(n1, name)
    const leader = new Leader(database)
    leader.waits(230, n3)
    database.ok(database.openCase(n1, 'c1', { arbiter: n3 }))
    leader.seen.set('c1' as CaseId, instant(leader.now))
    const [ask] = leader.conduct()
    assert.deepEqual(ask?.kind === 'ask-guardian' && ask.groups, names)
    const sealed = (name: GroupName) => ({ [name]: database.row(name).holder?.token }) as GuardianAnswer['sealed']
    const stated = { nonce: 'nonce-c1', emergency: 'stopped' } as const
    for (const none of [{ sealed: {} }, { sealed: { a: 1 } as never }, { sealed: sealed(names[0] as GroupName), open: { a: 99 } as never }])
      assert.deepEqual(leader.guardianSays(n1, { ...stated, ...none }).wants(), ['ask n1'])
    for (const name of names) {
      const proposed = leader.guardianSays(n1, { ...stated, sealed: sealed(name) }).conduct()[1]
      assert.ok(proposed?.kind === 'propose')
      database.ok(proposed.command)
    }
    assert.equal(database.state.get('boots', 'n1/n1-1')?.proof?.kind, 'guardian')
  })
})

describe('a condemned node', () => {
  const condemned = () => {
    const leader = new Leader().fencing(n1)
    leader.database.group()
    leader.database.granted(n1)
    leader.database.condemned(n1)
    leader.waits(400, n3)
    return leader
  }

  test('is tried again after a pause, by another arbiter', () => {
    const leader = condemned()
    assert.deepEqual(leader.wants(), ['withhold n1', 'ask n1'], 'one call at a time')
    leader.database.ok(leader.database.attemptResult(false))
    leader.ended.set('c1' as CaseId, instant(leader.now))
    assert.deepEqual(leader.waits(900, n3).wants(), ['withhold n1', 'ask n1'])
    const [, , again] = leader.waits(100, n3).wants()
    assert.match(again ?? '', /^attempt 2 off by n3/)
  })

  test('is not tried again while the voters left would be no quorum', () => {
    const leader = condemned()
    leader.database.ok(leader.database.attemptResult(false))
    leader.answering = [n1, n2]
    assert.deepEqual(leader.waits(5_000, n3).wants(), ['withhold n1', 'ask n1'])
    leader.answering = [n2, n3]
    assert.match(leader.wants()[2] ?? '', /^attempt 2 off/)
  })

  test('is tried again by a new leader as well', () => {
    const leader = condemned()
    leader.database.ok(leader.database.attemptResult(false))
    leader.since = leader.now - 1_000
    assert.match(leader.wants()[2] ?? '', /^attempt 2 off/)
  })

  test('that is back and holds nothing is let in again; not one that a person wants off', () => {
    const leader = condemned()
    leader.database.ok(leader.database.attemptResult(false))
    leader.database.ok(leader.database.released(n1))
    leader.hears(n1, false)
    assert.deepEqual(leader.wants().slice(2), ['readmit'])

    const asked = new Leader().fencing(n1)
    asked.database.ok(asked.database.openCase(n1, 'c1', { trigger: 'asked by a person: because' }))
    asked.database.ok({ kind: 'condemn', caseId: 'c1' as CaseId, attempt: null, reason: 'asked', answering: nodes })
    assert.ok(!asked.waits(10, n1, n3).wants().includes('readmit'))
  })

  test('that was switched off is switched on once its services are up elsewhere, or have had two seconds', () => {
    const switchedOff = () => {
      const leader = condemned()
      leader.database.ok(leader.database.attemptResult(true))
      leader.ended.set('c1' as CaseId, instant(leader.now))
      return leader
    }
    const quick = switchedOff()
    assert.deepEqual(quick.waits(100, n3).wants(), [])
    quick.database.granted(n2)
    assert.deepEqual(quick.wants(), [])
    quick.database.ok(quick.database.report(n2, 'ONLINE'))
    assert.deepEqual(quick.wants(), ['attempt 2 on by n2'])
    const slow = switchedOff()
    assert.deepEqual(slow.waits(1_990, n3).wants(), [])
    assert.deepEqual(slow.waits(10, n3).wants(), ['attempt 2 on by n2'])
  })

  test('that was switched off is switched on again, whatever the proof', () => {
    const fenced = condemned()
    fenced.database.ok(fenced.database.attemptResult(true))
    assert.deepEqual(fenced.wants(), ['attempt 2 on by n2'])

    const stated = condemned()
    stated.database.ok({
      kind: 'guardian-proof',
      caseId: 'c1' as CaseId,
      node: n1,
      boot: 'n1-1' as never,
      nonce: 'nonce-c1',
      tokens: { web: stated.database.row().holder?.token } as never,
      verified: true,
    })
    assert.deepEqual(stated.wants(), [], 'the call is still under way')
    stated.database.ok(stated.database.attemptResult(true))
    assert.deepEqual(stated.wants(), ['attempt 2 on by n2'])
  })
})

describe('a node that others hear', () => {
  test('is no case where a voter reaches more than this leader: that one is to lead', () => {
    const leader = new Leader().sees(n2, n3).sees(n3, n1, n2)
    assert.deepEqual(leader.waits(230, n3).wants(), ['ask n1', 'lead to n3'])
    leader.database.ok({ kind: 'leave', node: n3, operation: 'op', detail: 'x' })
    assert.deepEqual(leader.wants(), ['ask n1', 'open a case of n1, arbiter n2'], 'not to one that leaves')
  })

  test('is one all the same when the lead has not gone there in time', () => {
    const leader = new Leader().sees(n2, n3).sees(n3, n1, n2)
    const long = settings.condemned + 3 * settings.electionTimeoutMax
    assert.deepEqual(leader.waits(long, n3).wants(), ['ask n1', 'open a case of n1, arbiter n3'])
  })

  test('waits for another one of that kind whose removal leaves more, a lease at the longest', () => {
    const leader = new Leader().sees(n1, n3).sees(n3, n1).sees(n2)
    const opened = () => leader.wants().flatMap((one) => (one.startsWith('open a case') ? [one.slice(0, 17)] : []))
    leader.waits(230)
    assert.deepEqual(opened(), ['open a case of n3'])
    leader.database.ok(leader.database.openCase(n3, 'c3', { arbiter: n2 }))
    assert.deepEqual(opened(), [])
    leader.waits(settings.lease + settings.condemned)
    assert.deepEqual(opened(), ['open a case of n1'])
  })

  test('is one where nobody reaches more, and its case has the matrix', () => {
    const leader = new Leader().sees(n2, n3).sees(n3, n2)
    const wanted = leader.waits(230, n3).conduct().at(-1)
    assert.ok(wanted?.kind === 'propose' && wanted.command.kind === 'open-case')
    assert.deepEqual(wanted.command.dossier.matrix, {
      n1: 'has said nothing',
      n2: { saidMsAgo: 10, mutual: ['n3'], silentMs: { n1: 1_000, n3: 10 } },
      n3: { saidMsAgo: 10, mutual: ['n2'], silentMs: { n1: 1_000, n2: 10 } },
    })
  })
})

describe('the brakes', () => {
  const braked = () => {
    const database = new Database().formedAt(4)
    database.ok({ kind: 'patch-settings', patch: { causesMax: 1 } })
    database.fenced(n3, 'c3')
    database.ok({ kind: 'recover-case', caseId: 'c3' as CaseId, conclusion: 'over' })
    database.boot(n3, 'n3-2')
    const leader = new Leader(database)
    leader.waits(230, n3)
    database.ok(database.openCase(n1, 'c1', { arbiter: n3 }))
    leader.seen.set('c1' as CaseId, instant(leader.now))
    return leader
  }

  test('hold the attempt, and not the condemnation', () => {
    assert.ok(braked().waits(80, n3).wants().includes('condemn'))
  })

  test('let it go when the window has passed, though nothing is written meanwhile', () => {
    const leader = braked()
    leader.database.ok({ kind: 'condemn', caseId: 'c1' as CaseId, attempt: null, reason: 'silent', answering: nodes })
    assert.ok(
      !leader
        .waits(1_000, n3)
        .wants()
        .some((one) => one.startsWith('attempt')),
    )
    leader.database.at += 600_001
    assert.ok(leader.wants().some((one) => one.startsWith('attempt 1 off')))
  })
})

test('a quarantine that is over is ended', () => {
  const database = new Database().formedAt(4)
  database.ok({ kind: 'patch-settings', patch: { quarantineThreshold: 1, quarantineDuration: '10s' } })
  database.fenced(n1)
  database.ok({ kind: 'recover-case', caseId: 'c1' as CaseId, conclusion: 'over' })
  database.boot(n1, 'n1-2')
  const leader = new Leader(database)
  assert.deepEqual(leader.wants(), [])
  database.at += 10_000
  assert.deepEqual(leader.wants(), ['end-quarantine'])
})

describe('a person’s request to fence', () => {
  test('of a node that answers opens a case', () => {
    const leader = new Leader().fencing(n1).asked(n1)
    assert.deepEqual(leader.waits(10, n1, n3).wants(), ['open a case of n1, arbiter n3'])
  })

  test('waits where the nodes left would be no quorum', () => {
    const leader = new Leader().fencing(n1).asked(n1).waits(10, n1, n3)
    leader.answering = [n1, n2]
    assert.deepEqual(leader.wants(), [])
  })

  test('of the leader moves the lead first, to one that is not to be fenced itself', () => {
    const leader = new Leader().fencing(n1, n2).asked(n2).asked(n1)
    assert.deepEqual(leader.waits(10, n1, n3).wants(), ['open a case of n1, arbiter n3', 'lead to n3'])
    leader.answering = [n1, n2]
    assert.deepEqual(leader.wants(), [], 'not where nothing could come of it')
  })
})

describe('maintenance', () => {
  test('opens no case for silence, until it has ended; what a person asks is done', () => {
    const leader = new Leader(new Database().formedAt(4)).fencing(n1)
    leader.database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'new memory' })
    assert.deepEqual(leader.waits(5_000, n3).wants(), [])
    leader.database.ok({ kind: 'end-maintenance', node: n1 })
    assert.ok(
      leader.wants().some((wanted) => wanted.startsWith('open a case of n1')),
      leader.wants().join(),
    )
    const other = new Leader(new Database().formedAt(4)).fencing(n1)
    other.database.ok({ kind: 'maintain-node', node: n1, forMs: 60_000, owner: 'ada', reason: 'new memory' })
    other.asked(n1)
    assert.ok(other.wants().some((wanted) => wanted.startsWith('open a case of n1')))
  })
})

test('the end of a lease without a watchdog, where that is accepted, is no proof against the word of the guardian', () => {
  const leader = new Leader()
  leader.database.group()
  leader.database.granted(n1)
  leader.database.condemned(n1)
  leader.settings = { ...settings, acceptGuardianLease: true }
  leader.waits(60_000, n2, n3)
  assert.ok(leader.wants().includes('lease-proof'))
  const open = { ['web' as GroupName]: leader.database.row().holder?.token as never }
  leader.guardianSays(n1, { emergency: 'cannot-verify', open })
  assert.ok(!leader.wants().includes('lease-proof'))
  // What it said before the lease was over says nothing of how that ends, and another boot's word is another's.
  for (const answer of [
    { emergency: 'none' as const, open },
    { boot: 'n1-0' as BootId, emergency: 'cannot-verify' as const, open },
  ])
    assert.ok(leader.guardianSays(n1, answer).wants().includes('lease-proof'), JSON.stringify(answer))
})
