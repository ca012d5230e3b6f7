/** Checkpoints: small values that a running copy leaves for the next one, under the token of its own grant. */
import { ClusterError, type GroupName, isName, type Token } from '../../base/index.js'
import { type CheckpointRow, checkpointsOf, settingsOf } from '../../core/cluster/index.js'
import { bytesOfCheckpoint, leaveInParts } from '../../node/index.js'
import type { Access } from '../cluster/access.js'
import { carryOut, changeQuery } from '../cluster/changing.js'
import { blockingQuery, read, type View } from '../cluster/reading.js'
import type { Answer, Call, Route } from '../http/route.js'
import { onTheWall } from '../present/times.js'
import { groupOf } from './groups.js'

const tokenHeader = 'quorate-grant-token'

export function checkpointRoutes(access: Access): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/groups/:group/checkpoints',
      tag: 'checkpoints',
      summary: 'What the group has left, with its age.',
      query: blockingQuery,
      answers: { 200: 'Checkpoints, those up to 64 KiB with their values, and files that are carried along.' },
      handle: async (call) => {
        const view = await read(access, call, { relevant: { tables: ['checkpoints'] } })
        const { name } = groupOf(view.state, call.params.group ?? '')
        const found = checkpointsOf(view.state, name)
        return {
          body: {
            ...view.age,
            checkpoints: found.filter(({ file }) => file === undefined).map((row) => presentShort(view, row)),
            files: found.filter(({ file }) => file !== undefined).map((row) => presentShort(view, row)),
          },
        }
      },
    },
    {
      method: 'GET',
      path: '/v1/groups/:group/checkpoints/:name',
      tag: 'checkpoints',
      summary: 'One checkpoint; with `raw=true` its value alone.',
      query: { ...blockingQuery, raw: { kind: 'flag', doc: '`true`: the value as it was put, as text.' } },
      answers: { 200: 'The checkpoint.' },
      handle: async (call) => {
        const key = `${call.params.group}/${call.params.name}`
        const view = await read(access, call, { relevant: { tables: [], row: { table: 'checkpoints', key } } })
        groupOf(view.state, call.params.group ?? '')
        const row = view.state.get('checkpoints', key)
        if (row === undefined)
          throw new ClusterError('CHECKPOINT_NOT_FOUND', `the group has no checkpoint "${(call.params.name ?? '').slice(0, 80)}"`, {
            fix: `GET /v1/groups/${call.params.group}/checkpoints lists them`,
          })
        if (call.query.flag('raw') === true)
          return { revision: row.revision, text: { type: 'text/plain; charset=utf-8', value: textOfCheckpoint(view, row) } }
        return { revision: row.revision, body: { ...view.age, ...presentShort(view, row), value: textOfCheckpoint(view, row) } }
      },
    },
    {
      method: 'PUT',
      path: '/v1/groups/:group/checkpoints/:name',
      tag: 'checkpoints',
      summary: `Leaves a checkpoint. Any text of up to 1 MiB; the header ${tokenHeader} has the token of the present grant.`,
      query: changeQuery,
      body: 'raw',
      answers: { 200: 'It is kept.' },
      handle: (call) => put(access, call),
    },
  ]
}

async function put(access: Access, call: Call): Promise<Answer> {
  const name = call.params.name ?? ''
  if (!isName(name))
    throw new ClusterError('INVALID_NAME', `"${name.slice(0, 80)}" cannot name a checkpoint`, {
      fix: 'use 1 to 63 letters, digits, dots, dashes or underscores',
    })
  const header = call.headers[tokenHeader]
  const token = typeof header === 'string' && /^\d{1,16}$/.test(header) ? Number(header) : Number.NaN
  if (!Number.isSafeInteger(token))
    throw new ClusterError(
      'INVALID',
      `the header ${tokenHeader} is ${header === undefined ? 'missing' : `"${String(header).slice(0, 40)}"`}`,
      {
        fix: `send ${tokenHeader}: $QUORATE_GRANT_TOKEN`,
      },
    )
  const group = (call.params.group ?? '') as GroupName
  const value = textOf(call.bytes)
  const isLarge = value.length > settingsOf(access.node.state).storeValueMax
  const isTrial = call.query.flag('dryRun') === true
  const trial = { parts: { upload: 'trial', count: 0 }, size: call.bytes.length }
  const left = () => (isTrial ? trial : leaveInParts(access.node, { group, name, token: token as Token }, call.bytes))
  const parts = isLarge ? await left() : {}
  const command = { kind: 'put-checkpoint', group, name, token: token as Token, value: isLarge ? '' : value, ...parts } as const
  return carryOut(access, call, command, (value) => ({ revision: Number(value.revision), body: { group, name, revision: value.revision } }))
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new ClusterError('INVALID', 'the checkpoint is not UTF-8', { fix: 'send text; encode bytes as base64' })
  }
}

/** The text of a checkpoint, put together where it is in parts. */
function textOfCheckpoint(view: View, row: CheckpointRow): string {
  if (row.file !== undefined)
    throw new ClusterError('CHECKPOINT_NOT_FOUND', `${row.name} is a file that is carried along`, {
      fix: `it is ${row.file.path} on ${row.node}`,
    })
  const pieces = bytesOfCheckpoint(view.state, row)
  if (pieces === undefined) throw new ClusterError('CHECKPOINT_NOT_FOUND', 'the checkpoint is not whole', { fix: 'leave it again' })
  return Buffer.concat(pieces).toString('utf8')
}

/** Without what is in parts: a list is to be read at a glance. */
function presentShort(view: View, row: CheckpointRow): Record<string, unknown> {
  const { group, name, value, token, node, wall, revision, parts, size, sum, file, problem } = row
  const about = { revision, token, node, time: onTheWall(wall), ageMs: Math.max(0, Math.round(view.at - row.at)) }
  if (file !== undefined) {
    const { resource, path, mode, owner, ownerGroup } = file
    const what = { group, resource, path, mode: `0${mode.toString(8)}`, owner, ownerGroup, size: size ?? 0, sum: sum ?? null }
    return { ...what, ...about, ...(problem === undefined ? {} : { problem }) }
  }
  return { group, name, ...(parts === undefined ? { value } : { size, sum }), ...about }
}
