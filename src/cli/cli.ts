/** The command line: turns arguments into requests to one node and answers into tables. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { ClusterError, parseDuration } from '../base/index.js'
import { Unreachable } from './client.js'
import { addBrakesCommands } from './commands/brakes.js'
import { addCaseCommands } from './commands/cases.js'
import { addConfigurationCommands } from './commands/configuration.js'
import { addDiskCommands } from './commands/disks.js'
import { addDrillCommands } from './commands/drill.js'
import { addEventCommands } from './commands/events.js'
import { addGroupCommands } from './commands/groups.js'
import { addMemberCommands } from './commands/members.js'
import { addNodeCommands } from './commands/nodes.js'
import { addStatusCommands } from './commands/status.js'
import { addStoreCommands } from './commands/store.js'
import { exitCodes } from './exit.js'
import { type Options, Session, type Terminal } from './session.js'

/** Runs what a command asks for within one session. */
export type Run = <Arguments extends readonly unknown[]>(
  act: (session: Session, ...args: Arguments) => Promise<void>,
) => (...args: unknown[]) => Promise<void>

const processTerminal: Terminal = {
  out: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
}

/** `argv` as the process has it, with the interpreter and the script first. Resolves with the exit code. */
export async function runCli(
  argv: readonly string[],
  terminal: Terminal = processTerminal,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<number> {
  let session: Session | undefined
  const program = makeProgram(terminal, environment, (started) => {
    session = started
  })
  try {
    await program.parseAsync(argv)
    return session?.exitCode ?? exitCodes.done
  } catch (error) {
    return explain(error, terminal)
  }
}

function explain(error: unknown, terminal: Terminal): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  if (error instanceof ClusterError) {
    terminal.error(`quorate: ${error.code}: ${error.message}\n${error.fix === undefined ? '' : `  next: ${error.fix}\n`}`)
    return exitCodes.usage
  }
  if (error instanceof Unreachable) {
    terminal.error(`quorate: ${error.message}\n  next: ${error.fix}\n`)
    return exitCodes.unavailable
  }
  if ((error as { code?: string }).code === 'ECONNRESET') {
    terminal.error('quorate: the connection ended\n')
    return exitCodes.unavailable
  }
  throw error
}

function makeProgram(
  terminal: Terminal,
  environment: Readonly<Record<string, string | undefined>>,
  started: (session: Session) => void,
): Command {
  const program = new Command('quorate')
  program
    .description('High-availability cluster manager. Speaks to a node through its unix socket, or to any node by --url.')
    .option('--url <url>', 'API of a node, http://host:port (QUORATE_URL)', environment.QUORATE_URL)
    .option('--socket <path>', 'unix socket of the node (QUORATE_SOCKET)', environment.QUORATE_SOCKET ?? '/run/quorate/api.sock')
    .addOption(new Option('-o, --output <form>', 'table for people, json as the API answers').choices(['table', 'json']).default('table'))
    .option('--curl', 'print the curl command that does the same, and do nothing')
    .option('--wait [duration]', 'wait for the end of what was asked for, 60s unless given', duration)
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text), writeErr: (text) => terminal.error(text) })
    .addHelpText('after', help)
  const run: Run = (act) => {
    return async (...args) => {
      // Commander gives the arguments, then the options, then the command itself.
      const command = args.at(-1) as Command
      const options = command.optsWithGlobals<Omit<Options, 'wait'> & { wait?: string | true }>()
      const session = new Session({ ...options, ...(options.wait === true ? { wait: '60s' } : {}) } as Options, terminal)
      started(session)
      await act(session, ...(args.slice(0, -1) as never))
    }
  }
  for (const add of [
    addStatusCommands,
    addNodeCommands,
    addMemberCommands,
    addGroupCommands,
    addCaseCommands,
    addBrakesCommands,
    addDiskCommands,
    addEventCommands,
    addConfigurationCommands,
    addStoreCommands,
    addDrillCommands,
  ])
    add(program, run)
  return program
}

function duration(value: string): string {
  try {
    parseDuration(value)
  } catch {
    throw new InvalidArgumentError('write a duration such as 30s.')
  }
  return /^\d+$/.test(value) ? `${value}ms` : value
}

const help = `
Processes of a node (--config FILE, /etc/quorate/node.yaml unless given):
  quorate guardian             what systemd starts; it starts the other two
  quorate daemon               consensus, database, planner, API
  quorate monitor              runs resources
  quorate recover              on a stopped node whose others are lost for good: says what it knows, and carries on from it

For those who write resource agents, away from any cluster:
  quorate agent init <name>    the beginning of an agent
  quorate agent test <type> [name=value…]   whether an agent does what a cluster relies on

Exit codes: 0 done, 1 refused, 2 failed, 3 still going (--wait waits), 4 unavailable, 64 usage.`
