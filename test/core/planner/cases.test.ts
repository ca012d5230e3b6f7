/**
 * One folder a case: `input.json` is what the planner is told of one group (what is left out is as in `usual`),
 * `decisions.txt` what it decides, in plain words, with every candidate.
 *
 * With QUORATE_REGENERATE=1 the decisions are rewritten; read the difference before you keep it.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { encode } from '../../../src/base/index.js'
import { effectiveRules, type FailurePolicy } from '../../../src/core/cluster/index.js'
import { type CandidateInput, decideGroup, type GroupInput } from '../../../src/core/planner/index.js'

const usual = {
  group: 'web',
  at: 1_000_000,
  intent: 'ONLINE',
  deleting: false,
  frozen: null,
  holder: null,
  lastNode: null,
  move: null,
  restartAsked: null,
  waitingFor: null,
}
const usualHolder = {
  token: 77,
  proved: null,
  alive: true,
  suspected: false,
  joining: false,
  wanted: 'run',
  definitionChanged: false,
  state: 'ONLINE',
  failure: null,
  restartNumber: 0,
  failuresInWindow: 0,
  restartMax: 3,
}
const usualFailure = { resource: 'app', event: 'died', detail: 'killed by SIGKILL', restartNumber: 0 }

function root(): string {
  let folder = import.meta.dirname
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

interface Written extends Record<string, unknown> {
  readonly holder?: { readonly node: string; readonly failure?: object } | null
  readonly candidates?: Readonly<Record<string, Partial<CandidateInput>>>
  /** Makes the list of rules. */
  readonly policy?: FailurePolicy & { readonly uncritical?: readonly string[] }
}

function completed({ policy, ...written }: Written): GroupInput {
  const { holder } = written
  const candidates = Object.entries(written.candidates ?? { n1: {}, n2: {}, n3: {} }).map(([node, more], at) => ({
    node,
    rank: at + 1,
    boot: `${node}-boot`,
    alive: true,
    duty: 'active',
    banned: null,
    obstacle: null,
    ...more,
  }))
  const whole = {
    ...usual,
    ...written,
    ...(policy === undefined ? {} : { rules: effectiveRules(policy, (policy.uncritical ?? []) as never) }),
    ...(holder === undefined || holder === null
      ? {}
      : {
          holder: {
            ...usualHolder,
            ...holder,
            ...(holder.failure === undefined ? {} : { failure: { ...usualFailure, ...holder.failure } }),
          },
        }),
    candidates,
  }
  return whole as unknown as GroupInput
}

function inWords(input: GroupInput): string {
  const decision = decideGroup(input)
  if (decision === undefined) return 'nothing is to be done\n'
  const { action } = decision
  const act = {
    grant: () => (action.kind === 'grant' ? `grant ${input.group} to ${action.node} (boot ${action.boot})` : ''),
    stop: () =>
      action.kind === 'stop'
        ? `stop ${input.group}${action.ban === null ? '' : `, pass ${action.ban.node} over for ${action.ban.forMs / 60_000} minutes`}${action.halt === true ? ' until it is cleared' : ''}`
        : '',
    fence: () => (action.kind === 'fence' ? `fence ${action.node}` : ''),
    standby: () => (action.kind === 'standby' ? (action.evict === true ? `evict ${action.node}` : `put ${action.node} on standby`) : ''),
    restart: () =>
      action.kind === 'restart'
        ? `restart ${action.resource} of ${input.group} in place${action.dependents === true ? ', with all that depends on it' : ''}`
        : '',
    update: () => `go on with ${input.group} as it is defined now`,
    announce: () => 'announce it to the copies',
    evacuate: () => (action.kind === 'evacuate' ? `move ${input.group} to ${action.to} while it runs` : ''),
    send: () => `send ${input.group}`,
    arrive: () => `go on with ${input.group}`,
    'end-migration': () => 'give the migration up',
    'end-move': () => (action.kind === 'end-move' ? `end the move: ${action.done ? 'done' : 'it cannot be'}` : ''),
    wait: () => 'wait',
    forget: () => `forget ${input.group}`,
    unfreeze: () => `lift the freeze of ${input.group}`,
  }[action.kind]()
  const candidates = decision.candidates.map(
    (one) => `  ${one.node} ${one.eligible ? 'can' : 'cannot'} take it, by rule "${one.rule}": ${one.seen}`,
  )
  return `${[act, `because: ${decision.text}`, `rule: ${decision.rule}`, ...(candidates.length === 0 ? [] : ['candidates:', ...candidates])].join('\n')}\n`
}

const folder = join(root(), 'test', 'core', 'planner', 'cases')
for (const name of readdirSync(folder)) {
  test(name.replaceAll('-', ' '), () => {
    const input = completed(JSON.parse(readFileSync(join(folder, name, 'input.json'), 'utf8')) as Written)
    const said = inWords(input)
    const path = join(folder, name, 'decisions.txt')
    if (process.env.QUORATE_REGENERATE === '1') writeFileSync(path, said)
    else assert.equal(said, readFileSync(path, 'utf8'))
    // Kept with the decision, and run again on what was kept, it decides the same to the byte (P7).
    const decision = decideGroup(input)
    const again = decision === undefined ? undefined : decideGroup(JSON.parse(JSON.stringify(decision.input)) as GroupInput)
    assert.deepEqual(encode(again ?? null), encode(decision ?? null))
  })
}
