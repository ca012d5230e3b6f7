import { test } from 'node:test'
import { bootInstant } from '../../../src/base/index.js'
import { agent, definitions, g, kept, Script, shows, token } from './script.js'

const call = { kind: 'call', callId: 'c', argv: ['/bin/true'], environment: {}, input: '', hold: false, timeout: 1_000 } as const
const called = { kind: 'called', callId: 'c', outcome: { outcome: 'exited', code: 0, stdout: '', stderr: '', elapsedMs: 1 } } as const

test('a call that is asked for again is not run again, but answered', () => {
  const script = new Script()
  shows(script.order(call), 'call c')
  shows(script.order(call), '')
  shows(script.step(called), 'called c exited')
  shows(script.order(call), 'called c exited')
})

test('a held call is released once, never past its deadline, and ended when nobody releases it', () => {
  const script = new Script()
  shows(script.order({ ...call, hold: true }), 'call c')
  shows(script.order({ kind: 'call-release', callId: 'c', deadline: bootInstant(1_000_000) }), 'call-release c')
  shows(script.order({ kind: 'call-release', callId: 'c', deadline: bootInstant(1_000_000) }), '')
  const late = new Script()
  late.order({ ...call, hold: true })
  shows(late.order({ kind: 'call-release', callId: 'c', deadline: bootInstant(5) }), 'call-cancel c')
  const forgotten = new Script()
  forgotten.order({ ...call, hold: true })
  shows(forgotten.wake(200_000), 'call-cancel c')
})

test('what acts under a grant is a part of the group: refused without it, ended when it stops, and nothing is called stopped before', () => {
  const acts = { ...call, of: { group: g, token: token(1) } }
  const script = new Script()
  shows(script.order(acts), 'called c failed-to-start')
  script.run({ ip: agent() })
  script.done(1)
  shows(script.order({ ...acts, of: { group: g, token: token(2) } }), 'called c failed-to-start')
  shows(script.order(acts), 'call c')
  shows(script.stop(), 'record \n unwatch ip \n 2 stop ip \n call-cancel c \n says STOPPING ip=STOPPING')
  script.done(2)
  script.killed(3)
  shows(script.done(4, 'stopped'), 'record \n says STOPPING ip=STOPPED')
  shows(script.step(called), 'called c exited \n seal 1 \n delete record \n says STOPPED ip=STOPPED \n says sealed 1')
  shows(script.order({ ...acts, callId: 'd' }), 'called d failed-to-start')
})

const probe = (resources: Parameters<typeof definitions>[0], probeId = 'p') =>
  ({ kind: 'probe', group: g, probeId, resources: definitions(resources) }) as const

test('strays: clean when all are stopped, running when one runs, else unknown', () => {
  for (const [answers, result] of [
    [['stopped', 'stopped'], 'clean'],
    [['stopped', 'running'], 'running'],
    [['running', 'failed'], 'running'],
    [['stopped', 'timed-out'], 'unknown'],
  ] as const) {
    const script = new Script()
    shows(script.order(probe({ a: agent(), b: kept() })), '1 probe a \n 2 probe b')
    shows(script.done(1, answers[0]), '')
    shows(script.done(2, answers[1]), `probed p ${result}`)
  }
})

test('what holds nothing needs no probe', () => {
  shows(new Script().order(probe({ check: { type: 'tcp', parameters: { host: 'h', port: 1 } } })), 'probed p clean')
})

test('no more than eight probes for strays run at a time', () => {
  const script = new Script()
  const many = Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`r${at}`, agent()]))
  shows(script.order(probe(many)), Array.from({ length: 8 }, (_, at) => `${at + 1} probe r${at}`).join('\n'))
  shows(script.done(1, 'stopped'), '9 probe r8')
})

test('a probe of a group that runs here is answered from what is known', () => {
  const script = new Script()
  script.run({ a: agent() })
  shows(script.order(probe({ a: agent() })), 'probed p running')
})

test('a probe that is asked for once more keeps its place', () => {
  const script = new Script()
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, at) => [`r${at}`, agent()]))
  script.order(probe(many))
  shows(script.order(probe(many)), '')
  shows(script.done(1, 'stopped'), '9 probe r8')
  shows(script.order(probe(many)), '')
  for (let action = 2; action < 9; action++) shows(script.done(action, 'stopped'), '')
  shows(script.done(9, 'stopped'), 'probed p clean')
  shows(script.order(probe({ a: agent() })), '10 probe a')
})

test('a newer probe, or a start, ends the one under way as unknown', () => {
  const script = new Script()
  script.order(probe({ a: agent() }))
  shows(script.order(probe({ a: agent() }, 'q')), 'cancel 1 \n probed p unknown \n 2 probe a')
  shows(script.run({ a: agent() }), 'record \n cancel 2 \n probed q unknown \n 3 start a \n says STARTING a=STARTING')
})
