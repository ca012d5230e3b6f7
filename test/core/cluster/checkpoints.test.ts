/** Checkpoints in parts and files in the state machine: under the token of the holder alone, within bounds, all or nothing. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Command,
  carriedOfGroupMax,
  checkAnyDefinition,
  checkpointMax,
  checkpointsOf,
  fileKey,
  levelOf,
  partsOf,
} from '../../../src/core/cluster/index.js'
import { Database, n1 } from './database.js'

const g = 'web' as never
type Put = Omit<Extract<Command, { kind: 'put-checkpoint' }>, 'kind' | 'group'>
const put = (more: Partial<Put> & Pick<Put, 'token'>): Command => ({ kind: 'put-checkpoint', group: g, name: 'state', value: '', ...more })
const part = (upload: string, at: number, value: string, token: never, name = 'state'): Command => ({
  kind: 'put-checkpoint-part',
  group: g,
  name,
  upload,
  part: at,
  value,
  token,
})

function held() {
  const database = new Database().formedAt(5)
  database.group()
  const token = database.granted(n1) as never
  const code = (command: Command) => {
    const result = database.apply(command)
    return result.ok ? '' : result.error.code
  }
  const parts = () => [...database.state.rows('checkpointParts')].length
  const row = () => checkpointsOf(database.state, g)[0]
  return { database, token, parts, row, code }
}

test('what comes in parts is in force once the last word names them all, and takes the place of what was before', () => {
  const { database, token, parts, row, code } = held()
  database.ok(put({ token, value: 'small' }))
  database.ok(part('u1', 0, 'AAAA', token))
  database.ok(part('u1', 1, 'BBBB', token))
  assert.equal(row()?.value, 'small')
  assert.equal(code(put({ token, parts: { upload: 'u1', count: 3 }, size: 9, sum: 'x' })), 'CONFLICT')
  assert.equal(row()?.value, 'small')
  database.ok(put({ token, parts: { upload: 'u1', count: 2 }, size: 6, sum: 'x' }))
  assert.deepEqual(partsOf(database.state, row() as never), ['AAAA', 'BBBB'])
  database.ok(part('u2', 0, 'CCCC', token))
  database.ok(put({ token, parts: { upload: 'u2', count: 1 }, size: 3, sum: 'y' }))
  assert.equal(parts(), 1)
  // What was begun and never named goes with the next one.
  database.ok(part('u3', 0, 'DDDD', token))
  database.ok(part('u4', 0, 'EEEE', token))
  assert.equal(parts(), 2)
  assert.deepEqual(partsOf(database.state, row() as never), ['CCCC'])
  database.ok(put({ token, value: 'small again' }))
  assert.equal(parts(), 0)
})

test('only the present token may leave anything', () => {
  const { token, code } = held()
  const old = (Number(token) - 1) as never
  assert.equal(code(part('u1', 0, 'AAAA', old)), 'STALE_TOKEN')
  assert.equal(code(put({ token: old, value: 'x' })), 'STALE_TOKEN')
  assert.equal(code(put({ token: old, keep: true })), 'STALE_TOKEN')
})

test('bounds: of a part, of a checkpoint, of all of a group', () => {
  const { database, token, code } = held()
  assert.equal(code(part('u1', 0, 'A'.repeat(70_000), token)), 'TOO_LARGE')
  assert.equal(code(part('u1', 5_000, 'AAAA', token)), 'TOO_LARGE')
  assert.equal(code(part('../x', 0, 'AAAA', token)), 'INVALID_NAME')
  assert.equal(code(put({ token, value: 'x'.repeat(70_000) })), 'TOO_LARGE')
  database.ok(part('u1', 0, 'AAAA', token))
  const parts = { upload: 'u1', count: 1 }
  assert.equal(code(put({ token, parts, size: checkpointMax + 1, sum: 'x' })), 'TOO_LARGE')
  for (let at = 0; at < 4; at++) {
    const name = fileKey('app', `f${at}`)
    const file = { resource: 'app' as never, path: `/srv/${at}`, mode: 0o600, owner: 0, ownerGroup: 0 }
    database.ok(part(`v${at}`, 0, 'AAAA', token, name))
    database.ok(put({ token, name, parts: { upload: `v${at}`, count: 1 }, size: carriedOfGroupMax / 4, sum: 'x', file }))
  }
  assert.equal(code(put({ token, name: 'more', value: 'x' })), 'TOO_LARGE')
})

test('what is as it was is the present holder’s, and as old as it was; what cannot be carried is noted beside it', () => {
  const { database, token, row } = held()
  const name = fileKey('app', 'f')
  const file = { resource: 'app' as never, path: '/srv/f', mode: 0o600, owner: 0, ownerGroup: 0 }
  database.ok(put({ token, name, value: 'AAAA', size: 3, sum: 'x', file }))
  const at = row()?.at
  database.ok(put({ token, name, problem: 'it is a symbolic link', file }))
  assert.equal(row()?.problem, 'it is a symbolic link')
  assert.equal(row()?.value, 'AAAA')
  database.ok(put({ token, name, keep: true }))
  assert.equal(row()?.problem, undefined)
  assert.equal(row()?.at, at)
})

test('files enter the log once every member knows of them', () => {
  assert.equal(levelOf(put({ token: 1 as never, value: 'x' })), 1)
  assert.equal(levelOf(put({ token: 1 as never, keep: true })), 5)
  assert.equal(levelOf(part('u', 0, 'x', 1 as never)), 5)
})

test('paths that may not be carried along are refused with the definition', () => {
  const refused = (...files: string[]) => {
    const app = { type: 'command', parameters: { run: 'x' }, dependsOn: [], probe: { interval: 1_000, timeout: 1_000 }, files }
    const times = { start: { timeout: 1_000 }, stop: { timeout: 1_000 }, restart: { max: 1, window: 60_000 } }
    const definition = {
      mode: 'failover',
      nodes: ['n1'],
      priority: 0,
      failback: { mode: 'never' },
      resources: { app: { ...app, ...times } },
    }
    return checkAnyDefinition('web' as never, definition as never, ['n1'])?.message
  }
  assert.equal(refused('/srv/app/state'), undefined)
  assert.match(refused('srv') ?? '', /absolute/)
  assert.match(refused('/srv/../etc/shadow') ?? '', /without/)
  assert.match(refused('/proc/1/mem') ?? '', /lies in \/proc/)
  assert.match(refused('/etc/quorate/secret') ?? '', /lies in \/etc\/quorate/)
  assert.match(refused('/srv/a', '/srv/a') ?? '', /twice/)
})
