/** `kill-node`, `pause-node`, `cut-node`: break a node of the demo or the laboratory, whose power supplies carry it out. */
import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { type Direction, directions } from '../lib/cable.js'
import { demoPlace, labPlace, powerSocketOf } from '../lib/places.js'

interface Fault {
  readonly action: string
  readonly undo: string | undefined
  readonly does: string
  readonly undoes: string
  readonly done: (answer: Answer) => string
  readonly undone: string
}

interface Answer {
  readonly ok: boolean
  readonly detail?: string
  readonly pids?: readonly number[]
}

const faults: Readonly<Record<string, Fault>> = {
  kill: {
    action: 'kill',
    undo: 'on',
    does: `Kills everything that the node runs (SIGKILL): guardian, daemon, monitor and services, as a crash would.
Its power supply stays: the cluster fences the node, turns it on again, and it rejoins by itself.`,
    undoes: 'turns the node on now, should nobody have done so',
    done: ({ pids = [] }) => `killed ${pids.length} processes; its power supply waits for the cluster`,
    undone: 'turned on',
  },
  pause: {
    action: 'pause',
    undo: 'resume',
    does: `Stops everything that the node runs (SIGSTOP): it is silent, but nothing of it has ended.
The cluster fences it, for it might wake up and write at any time.`,
    undoes: 'lets it go on (SIGCONT)',
    done: ({ pids = [] }) => `paused ${pids.length} processes`,
    undone: 'goes on',
  },
  cut: {
    action: 'cut',
    undo: 'heal',
    does: `Cuts the node off from the other nodes. Its processes run on and do not know whether they or the others are alone.
In the demo clients still reach the service there until the node is fenced: they are on the same machine.`,
    undoes: 'connects it again',
    done: () => 'cut off from the other nodes',
    undone: 'connected again',
  },
}

const kind = process.argv[2] ?? ''
const name = `${kind}-node`
const fault = faults[kind]
if (fault === undefined) fail('start this as kill-node, pause-node or cut-node')
process.exitCode = await main(fault)

async function main(chosen: Fault): Promise<number> {
  const { values, positionals } = readArguments()
  if (values.help === true) {
    process.stdout.write(help(chosen))
    return 0
  }
  const [node] = positionals
  if (node === undefined || positionals.length > 1) fail(`name one node, such as: ${name} n1`)
  const direction = (values.direction ?? 'both') as Direction
  if (!directions.includes(direction)) fail(`--direction is one of ${directions.join(', ')}`)
  const place = values.lab === true ? labPlace() : demoPlace()
  const answer = await ask(values.socket ?? powerSocketOf(place), {
    node,
    action: values.undo === true ? chosen.undo : chosen.action,
    direction,
  })
  if (!answer.ok) fail(answer.detail ?? 'the power supply gave no reason')
  process.stdout.write(`${node}: ${values.undo === true ? chosen.undone : chosen.done(answer)}\n`)
  return 0
}

function readArguments() {
  try {
    return parseArgs({
      args: process.argv.slice(3),
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        undo: { type: 'boolean' },
        lab: { type: 'boolean' },
        socket: { type: 'string' },
        direction: { type: 'string' },
      },
    })
  } catch (error) {
    return fail((error as Error).message)
  }
}

function help({ does, undoes }: Fault): string {
  return `${name} NODE [--undo] [--lab] [--socket PATH]${kind === 'cut' ? ' [--direction both|in|out]' : ''}

${does}

  --undo           ${undoes}
  --lab            a node of the laboratory (scripts/lab/lab) and not of the demo
  --socket PATH    the socket of the power supplies, where neither is meant
${kind === 'cut' ? '  --direction      in: the node does not hear the others; out: they do not hear it\n' : ''}`
}

function ask(socketPath: string, question: object): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    let text = ''
    socket.setEncoding('utf8')
    socket.on('connect', () => socket.write(`${JSON.stringify(question)}\n`))
    socket.on('data', (chunk: string) => {
      text += chunk
    })
    socket.on('error', (error: NodeJS.ErrnoException) => {
      const nobody = error.code === 'ENOENT' || error.code === 'ECONNREFUSED'
      fail(nobody ? `no demo runs here (nothing answers at ${socketPath}): npm start` : error.message)
    })
    socket.on('end', () => {
      try {
        resolve(JSON.parse(text) as Answer)
      } catch {
        fail('the power supplies gave no answer')
      }
    })
  })
}

function fail(text: string): never {
  process.stderr.write(`${name}: ${text}\n`)
  process.exit(1)
}
