/** What members of level 3 know: nodes that could not run a group, changes in place, kinds of dependencies. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { GroupName } from '../../../src/base/index.js'
import {
  type DependencyKind,
  dependencyRing,
  type GroupDefinition,
  isUpdatable,
  levelOf,
  restartedAfter,
  restartedWith,
  startOrder,
} from '../../../src/core/cluster/index.js'
import { address, Database, definition, n1, n2, resources, web } from './database.js'

describe('a node that could not run a group', () => {
  test('is not granted it, and says what is missing', () => {
    const database = new Database().formedAt(3)
    database.ok({ kind: 'put-group', group: web, definition: definition(), intent: null, precondition: {} })
    const revision = database.row().resourcesRevision
    database.ok({
      kind: 'probed',
      node: n1,
      boot: database.currentBoot(n1),
      group: web,
      definition: revision,
      result: 'unable',
      detail: 'app: no nginx',
    })
    assert.equal(database.grant(n1), 'it cannot run there: app: no nginx')
    database.probed(n1)
    assert.equal(database.grant(n1), undefined, 'once it is installed')
  })

  test('has found nothing of it all the same: an earlier boot is proved by that', () => {
    const database = new Database().formedAt(3)
    database.group()
    database.granted(n1)
    database.boot(n1, 'n1-2')
    database.probed(n1, web, 'unable', database.row().holder?.pinnedRevision)
    assert.equal(database.row().proof?.kind, 'rebooted')
    assert.match(database.grant(n1) ?? '', /cannot run there/)
    database.probed(n2)
    assert.equal(database.grant(n2), undefined)
  })
})

describe('a change in place', () => {
  const putAs = (group: GroupName, shape: Parameters<typeof resources>[0]) =>
    ({ kind: 'put-group', group, definition: definition({ resources: resources(shape) }), intent: null, precondition: {} }) as const
  const put = (database: Database, change: Partial<GroupDefinition>) =>
    database.ok({ kind: 'put-group', group: web, definition: definition(change), intent: null, precondition: {} })

  test('pins the new definition under the same token, and the order of it is a new one', () => {
    const database = new Database().formedAt(3)
    database.group()
    const token = database.granted(n1)
    database.ok(database.report(n1, 'ONLINE'))
    put(database, { resources: resources({ app: { parameters: { run: 'b' } } }) })
    assert.equal(database.decide(web, { kind: 'update', token }), undefined)
    const { holder, resourcesRevision } = database.row()
    assert.deepEqual(
      [holder?.token, holder?.pinnedRevision, holder?.order.sequence, holder?.report.state],
      [token, resourcesRevision, 2, 'STARTING'],
    )
  })

  test('is refused where it is not under that token, or not one', () => {
    const database = new Database().formedAt(3)
    database.group()
    const token = database.granted(n1)
    put(database, { resources: resources({ app: {}, more: {} }) })
    assert.match(database.decide(web, { kind: 'update', token: 7 as never }) ?? '', /nothing to change/)
    assert.match(database.decide(web, { kind: 'update', token }) ?? '', /cannot be changed while it runs/)
    assert.equal(database.decide(web, { kind: 'stop', token, ban: null }), undefined)
    assert.match(database.decide(web, { kind: 'update', token }) ?? '', /nothing to change/)
  })

  test('is one while names, types, dependencies and addresses stay', () => {
    const before = resources({ ip: address('10.0.0.1/24'), app: { dependsOn: ['ip'] } })
    const table: readonly (readonly [string, GroupDefinition['resources'], boolean])[] = [
      ['the same in another order', resources({ app: { dependsOn: ['ip'] }, ip: address('10.0.0.1/24') }), true],
      ['another parameter', resources({ ip: address('10.0.0.1/24'), app: { dependsOn: ['ip'], parameters: { run: 'x' } } }), true],
      ['another address', resources({ ip: address('10.0.0.2/24'), app: { dependsOn: ['ip'] } }), false],
      ['another dependency', resources({ ip: address('10.0.0.1/24'), app: {} }), false],
      [
        'another kind of dependency',
        resources({ ip: address('10.0.0.1/24'), app: { dependsOn: [{ resource: 'ip', kind: 'strong' }] } }),
        false,
      ],
      ['another type', resources({ ip: address('10.0.0.1/24'), app: { dependsOn: ['ip'], type: 'tcp' } }), false],
      ['one less', resources({ ip: address('10.0.0.1/24') }), false],
      ['another name', resources({ ip: address('10.0.0.1/24'), web: { dependsOn: ['ip'] } }), false],
    ]
    for (const [what, after, expected] of table) assert.equal(isUpdatable(before, after, false), expected, what)
  })

  test('is one where resources come and go too, from level 5 on; what only one may hold is not given up so', () => {
    const before = resources({ ip: address('10.0.0.1/24'), app: { dependsOn: ['ip'] }, extra: {} })
    const rest = { ip: address('10.0.0.1/24'), app: { dependsOn: ['ip'] } }
    const odd = (more: object) => ({ ...resources(rest), odd: { ...(resources({ odd: {} })['odd' as never] as object), ...more } }) as never
    const table: readonly (readonly [string, GroupDefinition['resources'], boolean])[] = [
      ['one less', resources(rest), true],
      ['one more', resources({ ...rest, extra: {}, more: {} }), true],
      ['one more address', resources({ ...rest, second: address('10.0.0.2/24') }), true],
      ['one address less', resources({ app: {}, extra: {} }), false],
      ['another address', resources({ ...rest, ip: address('10.0.0.9/24') }), false],
      ['another name', resources({ ...rest, other: {} }), true],
      ['another dependency', resources({ ...rest, app: {} }), true],
      ['another type', resources({ ...rest, extra: { type: 'tcp' } }), false],
      ['one that carries files', odd({ files: ['/a'] }), false],
      ['one with two roles', odd({ promotable: true }), false],
    ]
    for (const [what, after, expected] of table) assert.equal(isUpdatable(before, after, true), expected, what)
  })

  test('takes an address on only where nobody else holds it', () => {
    const database = new Database().formedAt(5)
    database.group()
    const other = 'other' as GroupName
    database.ok(putAs(other, { ip: address('10.0.0.1/24') }))
    for (const node of [n1, n2]) database.probed(node, other)
    const token = database.granted(n1)
    assert.equal(database.grant(n2, other), undefined)
    put(database, { resources: resources({ app: {}, ip: address('10.0.0.1/24') }) })
    assert.match(database.decide(web, { kind: 'update', token }) ?? '', /10.0.0.1 is held by group other on n2/)
    put(database, { resources: resources({ app: {}, ip: address('10.0.0.2/24') }) })
    assert.equal(database.decide(web, { kind: 'update', token }), undefined)
    // Held from then on.
    const third = 'third' as GroupName
    database.ok(putAs(third, { ip: address('10.0.0.2/24') }))
    database.probed(n2, third)
    assert.match(database.grant(n2, third) ?? '', /10.0.0.2 is held by group web on n1/)
  })
})

describe('kinds of dependencies', () => {
  const chain = (kind: DependencyKind) =>
    resources({ a: {}, b: { dependsOn: [{ resource: 'a', kind }] }, c: { dependsOn: [{ resource: 'b', kind }] } })

  test('order starts and make rings, whatever they are', () => {
    for (const kind of ['strong', 'weak', 'restart', 'offlineRestart'] as const) {
      assert.deepEqual(startOrder(chain(kind)), ['a', 'b', 'c'])
      const ring = resources({ a: { dependsOn: [{ resource: 'b', kind }] }, b: { dependsOn: ['a'] } })
      assert.deepEqual(dependencyRing(ring), ['a', 'b', 'a'])
    }
  })

  test('say what goes down with a restart, and what follows it', () => {
    const with_ = (kind: DependencyKind, whole = false) => [...restartedWith(chain(kind), 'a' as never, whole)].sort()
    assert.deepEqual(with_('offlineRestart'), ['a', 'b', 'c'])
    for (const kind of ['strong', 'weak', 'restart'] as const) {
      assert.deepEqual(with_(kind), ['a'])
      assert.deepEqual(with_(kind, true), ['a', 'b', 'c'])
    }
    assert.deepEqual(restartedAfter(chain('restart'), new Set(['a' as never])), ['b'])
    assert.deepEqual(restartedAfter(chain('strong'), new Set(['a' as never])), [])
  })

  test('are checked: known, and each resource once', () => {
    const database = new Database().formedAt(3)
    const put = (dependsOn: unknown[]) =>
      ({
        kind: 'put-group',
        group: web,
        definition: definition({ resources: resources({ app: {}, web: { dependsOn: dependsOn as never } }) }),
        intent: null,
        precondition: {},
      }) as const
    database.refused(put([{ resource: 'app', kind: 'loose' }]), 'INVALID_DEFINITION', /in the way "loose"/)
    database.refused(put(['app', { resource: 'app', kind: 'weak' }]), 'INVALID_DEFINITION', /twice/)
    database.refused(put([{ resource: 'aap', kind: 'weak' }]), 'INVALID_DEFINITION', /does not have/)
    database.ok(put([{ resource: 'app', kind: 'weak' }]))
  })

  test('need members of level 3, and names alone do not', () => {
    const level = (dependsOn: unknown[]) =>
      levelOf({
        kind: 'put-group',
        group: web,
        definition: definition({ resources: resources({ app: {}, web: { dependsOn: dependsOn as never } }) }),
        intent: null,
        precondition: {},
      })
    assert.equal(level(['app']), 1)
    assert.equal(level([{ resource: 'app', kind: 'weak' }]), 3)
    const decide = (action: object) =>
      levelOf({
        kind: 'decide',
        plannerVersion: 3,
        decisions: [{ group: web, action: action as never, rule: '', text: '', candidates: [], input: {} }],
      })
    assert.equal(decide({ kind: 'update', token: 1 }), 3)
    assert.equal(decide({ kind: 'restart', token: 1, resource: 'app', dependents: true }), 3)
    assert.equal(decide({ kind: 'restart', token: 1, resource: 'app' }), 1)
  })
})
