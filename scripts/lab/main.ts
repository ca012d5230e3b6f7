/**
 * `scripts/lab/lab`: three nodes with addresses of their own, and Debian's own agents keeping nginx and redis alive on them.
 *
 * `lab` raises it and stays until Ctrl-C; `lab on client curl …`, `lab on n1 pkill nginx` and so on run a program on a machine of
 * the laboratory that stands.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { follow, pause } from '../lib/http.js'
import { hostPrefix, machinePrefix } from '../lib/netns.js'
import { labPlace, labTag } from '../lib/places.js'
import { labNodes, type RaisedLab, raiseLab, redisAddress, webAddress } from './raise.js'

const say = (text = ''): void => void process.stdout.write(`${text}\n`)
const [command, ...rest] = process.argv.slice(2)

if (command === '--help' || command === '-h') help()
else if (command === 'on' && rest.length > 1) onMachine(rest[0] as string, rest.slice(1))
else if (command === undefined) await stand()
else {
  help()
  process.exitCode = 64
}

function help(): void {
  say('lab                       raises three nodes n1 n2 n3 and a client in network namespaces, and stays until Ctrl-C (needs root)')
  say('lab on HOST PROGRAM ...   runs a program on the client or a node, while the laboratory stands in another terminal:')
  say(`                          lab on client curl http://${webAddress}/`)
}

/** Its exit status is the program's. */
function onMachine(host: string, argv: readonly string[]): void {
  const prefix = host === 'client' ? hostPrefix(labTag, host) : machinePrefix(labTag, host)
  if (prefix === undefined) return complain(`${host} is not on, or no laboratory stands: scripts/lab/lab`)
  const [program, ...args] = [...prefix, ...argv]
  const child = spawn(program as string, args, { stdio: 'inherit' })
  child.once('error', (error) => complain(error.message))
  child.once('exit', (code) => {
    process.exitCode = code ?? 1
  })
}

function complain(text: string): void {
  process.stderr.write(`lab: ${text}\n`)
  process.exitCode = 1
}

async function stand(): Promise<void> {
  if (process.getuid?.() !== 0) return complain('it makes network namespaces: start it as root')
  let raised: RaisedLab | undefined
  let leaving = false
  const leave = async (code: number): Promise<void> => {
    if (leaving) return
    leaving = true
    say('\nTaking the laboratory down …')
    await raised?.close().catch((error: Error) => process.stderr.write(`${error.message}\n`))
    process.exit(code)
  }
  // A signal while it is being raised waits until it stands: half of it could not be taken down.
  let wanted = false
  const onSignal = (): void => {
    wanted = true
    if (raised !== undefined) void leave(0)
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
  const { home } = labPlace()
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  say('Raising three nodes in network namespaces …')
  try {
    raised = await raiseLab({ tag: labTag, home, onPower: (node, action) => say(`  ⚡ power supply of ${node}: ${action}`) })
  } catch (error) {
    process.stderr.write(`lab: ${(error as Error).message}\n`)
    return leave(1)
  }
  if (wanted) return leave(0)
  const { lab } = raised
  void follow(() => labNodes.map((node) => lab.local(node)), tell, 1)
  while ((await raised.holder('web')) === undefined) await pause(100)
  explain(raised)
}

function tell(event: Readonly<Record<string, unknown>>): void {
  const kind = String(event.kind)
  if (kind.startsWith('settings') || kind.startsWith('decision.wait')) return
  say(`  ${new Date(Number(event.wall)).toISOString().slice(11, 23)}  ${kind.padEnd(24)} ${event.text}`)
}

function explain({ lab, run }: RaisedLab): void {
  const hasRedis = existsSync('/usr/bin/redis-server')
  say()
  say(
    `The groups: web (IPaddr2 ${webAddress} and nginx)${hasRedis ? `, redis (IPaddr2 ${redisAddress} and redis, its data on storage that all nodes reach)` : ''}.`,
  )
  say('Try, in another terminal, as root:')
  say()
  say(`  scripts/lab/lab on client curl http://${webAddress}/                        # the service, from the client's machine`)
  if (hasRedis) say(`  scripts/lab/lab on client redis-cli -h ${redisAddress} incr visits`)
  say(
    `  curl --unix-socket ${join(run, 'n1/api.sock')} http://n1/v1/status  # the API of n1; from the client: lab on client curl ${lab.url('n1')}/v1/status`,
  )
  say(`  curl --unix-socket ${join(run, 'n1/api.sock')} http://n1/v1/groups/web/move -d '{"to":"n3"}'`)
  say('  scripts/chaos/kill-node --lab n1        # also pause-node, cut-node; --undo')
  say('  scripts/lab/lab on n1 pkill nginx                                   # the service alone')
  say()
  say(`Logs of the nodes: ${lab.home}. Ctrl-C takes it all down. What happens now, live:`)
  say()
}
