/**
 * A shared disk that is a block device. No kernel here brings one with persistent reservations: the program is run against a
 * stand-in that answers in sg_persist's words, and what it would be told is given to the real sg_persist, which has to know it.
 *
 * needs: sg3-utils python3
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { waitFor } from '../../scripts/lib/http.js'
import { exclusiveAccess } from '../../src/core/disks/index.js'

const program = fileURLToPath(new URL('../../../agents/disks/quorate-disk', import.meta.url))
const [a, b] = ['00000000000000a1', '00000000000000b2'] as [string, string]
const patience = 20_000

/** Keeps keys in a file; one path, so one key at a time is the asker's own. */
const standIn = `#!/usr/bin/python3
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
words = sys.argv[1:-1]
open(folder + '/told', 'a').write(' '.join(words) + '\\n')
if os.path.exists(folder + '/hangs'): time.sleep(3)
state = json.load(open(folder + '/state'))
value = lambda name: int(next((word.split('=')[1] for word in words if word.startswith('--' + name + '=')), '0'), 16)
own, sark, kind = value('param-rk'), value('param-sark'), next((int(w.split('=')[1]) for w in words if w.startswith('--prout-type=')), 0)
names = {6: 'Exclusive Access, registrants only'}
code = 0
if '--read-keys' in words:
    count = len(state['keys'])
    print('  PR generation=0x%x, ' % state['generation'] + ('there are NO registered reservation keys' if count == 0 else
          '1 registered reservation key follows:' if count == 1 else '%d registered reservation keys follow:' % count))
    for key in state['keys']: print('    0x%x' % key)
elif '--read-reservation' in words:
    print('  PR generation=0x%x, ' % state['generation'] + ('there is NO reservation held' if state['held'] is None else 'Reservation follows:'))
    if state['held']: print('    Key=0x%x\\n    scope: LU_SCOPE,  type: %s' % (state['held'][0], names[state['held'][1]]))
elif '--register-ignore' in words:
    if '--param-aptpl' in words and not state['aptpl']:
        code = 5
    else:
        state['keys'] = [key for key in state['keys'] if key != state['mine']] + [sark]
        state['mine'] = sark
        state['generation'] += 1
elif own not in state['keys']: code = 24
elif '--reserve' in words:
    if state['held'] is None: state['held'] = [own, kind]
    elif state['held'][0] != own: code = 24
elif '--preempt-abort' in words: code = 5
elif '--preempt' in words:
    if sark not in state['keys']: code = 24
    else:
        state['keys'] = [key for key in state['keys'] if key != sark]
        state['generation'] += 1
elif '--register' in words or '--clear' in words:
    state['keys'] = [] if '--clear' in words else [key for key in state['keys'] if key != own]
json.dump(state, open(folder + '/state', 'w'))
sys.exit(code)
`

describe('a block device', () => {
  let folder: string
  let child: ChildProcess
  let socket: Socket
  let lines: AsyncIterator<string>
  let count = 0
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  const start = () => {
    const words = ['--socket', join(folder, 'socket'), '--timeout', '5000', '--device', join(folder, 'disk')]
    child = spawn(program, words, { env: { PATH: `${folder}:/usr/bin:/bin` }, stdio: 'ignore' })
  }
  const open = async (): Promise<void> => {
    await waitFor('the program', patience, async () => {
      const trial = connect(join(folder, 'socket'))
      const isUp = await new Promise<boolean>((resolve) => trial.once('connect', () => resolve(true)).once('error', () => resolve(false)))
      socket = trial
      return isUp
    })
    lines = createInterface({ input: socket })[Symbol.asyncIterator]()
    assert.match((await lines.next()).value, /hello/)
  }
  const ask = async (request: Record<string, unknown>) => {
    socket.write(`${JSON.stringify({ id: ++count, timeout: 5_000, ...request })}\n`)
    const { value, done } = await lines.next()
    return done === true ? undefined : (JSON.parse(value) as Record<string, unknown>)
  }
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'quorate-block-'))
    write('sg_persist', standIn)
    chmodSync(join(folder, 'sg_persist'), 0o755)
    write('disk', '')
    write('state', JSON.stringify({ keys: [0xb2], mine: 0, generation: 4, held: null, aptpl: false }))
    start()
    await open()
  })
  after(() => {
    socket?.destroy()
    child?.kill('SIGKILL')
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true })
  })

  test('is asked in sg_persist’s words, and its answers are read', async () => {
    assert.deepEqual((await ask({ do: 'keys', key: a }))?.keys, [b])
    assert.equal((await ask({ do: 'register', key: a }))?.status, 'good', 'also where it keeps nothing over a loss of power')
    const { keys, mine, generation } = (await ask({ do: 'keys', key: a })) ?? {}
    assert.deepEqual([keys, mine, generation], [[b, a], true, 5])
    assert.equal((await ask({ do: 'reservation' }))?.reservation, null)
    assert.equal((await ask({ do: 'reserve', key: a, type: exclusiveAccess }))?.status, 'good')
    assert.deepEqual((await ask({ do: 'reservation' }))?.reservation, { key: a, type: exclusiveAccess })
    assert.equal((await ask({ do: 'reserve', key: b, type: exclusiveAccess }))?.status, 'conflict')
    assert.equal((await ask({ do: 'preempt-abort', key: a, victim: b, type: exclusiveAccess }))?.status, 'refused')
    assert.equal((await ask({ do: 'preempt', key: a, victim: b, type: exclusiveAccess }))?.status, 'good')
    assert.equal((await ask({ do: 'preempt', key: a, victim: b, type: exclusiveAccess }))?.status, 'conflict')
    assert.deepEqual((await ask({ do: 'keys', key: a }))?.keys, [a])
    assert.equal((await ask({ do: 'unregister', key: a }))?.status, 'good')
    assert.equal((await ask({ do: 'clear', key: b }))?.status, 'conflict')
  })

  test('a command that hangs ends the program, and the next one asks nothing before that command is over', async () => {
    write('hangs', '')
    assert.equal(await ask({ do: 'keys', key: a, timeout: 300 }), undefined, 'the connection ends with it')
    rmSync(join(folder, 'hangs'))
    start()
    await open()
    const early = await ask({ do: 'register', key: a })
    assert.equal(early?.status, 'failed')
    assert.match(String(early?.detail), /an earlier command to the device is not over/)
    await waitFor('the command to be over', patience, async () => (await ask({ do: 'keys', key: a }))?.status === 'good')
  })

  test('the real sg_persist knows every word', () => {
    const told = [...new Set(readFileSync(join(folder, 'told'), 'utf8').trim().split('\n'))]
    assert.ok(told.length >= 8, told.join('\n'))
    for (const words of told) {
      const { stdout, stderr, error } = spawnSync('/usr/bin/sg_persist', [...words.split(' '), join(folder, 'disk')], { encoding: 'utf8' })
      assert.equal(error, undefined)
      assert.doesNotMatch(stdout + stderr, /unrecognized|Usage|bad argument/i, words)
      assert.match(stdout + stderr, /pass-through|ioctl/, words)
    }
  })
})
