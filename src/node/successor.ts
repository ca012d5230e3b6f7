/**
 * A daemon makes room for the next one. That one is started first, and loads what is installed now while this one still sends heartbeats:
 * the node is silent only from the end of the one to the begin of the other. One that cannot even load changes nothing.
 */
import { spawn } from 'node:child_process'
import { identify, isAlive, pause } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

/** Tells a daemon that it is to take the place of another, and with pid and start time of which. */
const option = '--successor-of'
const isLoaded = 'loaded'
/** To load, in milliseconds. */
const patience = 30_000
const lookEvery = 2

export interface Successor {
  /**
   * Resolves when it has loaded, with what the run folder calls the daemon of this node set to it: the guardian, when it misses the old
   * one, finds the new one there. Undefined then; else why there is none, and everything is as it was.
   */
  readonly obstacle: Promise<string | undefined>
  /** This daemon ends for good: nobody comes after it. */
  giveUp(): void
}

/** Starts the next daemon. */
export function startSuccessor(argv: readonly string[], runFolder: RunFolder): Successor {
  const [program = '', ...rest] = argv
  const self = identify(process.pid)
  const child = spawn(program, [...rest, option, `${self?.pid}:${self?.startTime}`], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  let giveUp = () => {}
  const obstacle = new Promise<string | undefined>((resolve) => {
    const late = setTimeout(() => fail(`it has not loaded within ${patience / 1_000} s`), patience)
    let isOver = false
    child.once('error', (error) => fail(error.message))
    child.once('exit', (status, signal) => fail(`it ended: ${signal ?? `status ${status}`}`))
    child.once('message', (message) => {
      const identity = child.pid === undefined ? undefined : identify(child.pid)
      if (isOver) return
      if (message !== isLoaded || identity === undefined) return fail('it does not know what it is to say')
      isOver = true
      runFolder.writePid('daemon', identity)
      clearTimeout(late)
      child.unref()
      resolve(undefined)
    })
    giveUp = () => {
      child.kill('SIGKILL')
      fail('this one ends for good')
    }
    function fail(why: string) {
      isOver = true
      clearTimeout(late)
      child.kill('SIGKILL')
      resolve(why)
    }
  })
  return { obstacle, giveUp }
}

/**
 * To be awaited once everything is loaded: resolves at once, or, in a successor, when the daemon before it has gone. False when the place is
 * not its own: that one was ended in the middle of it, and the guardian has started another.
 */
export async function afterPredecessor(args: readonly string[], runFolder: RunFolder): Promise<boolean> {
  const at = args.indexOf(option)
  if (at < 0) return true
  const [pid = 0, startTime = 0] = (args[at + 1] ?? '').split(':').map(Number)
  const gone = new Promise<void>((resolve) => process.once('disconnect', resolve))
  if (process.connected) {
    process.send?.(isLoaded)
    await gone
  }
  while (isAlive({ pid, startTime })) await pause(lookEvery)
  return runFolder.readPid('daemon')?.pid === process.pid
}
