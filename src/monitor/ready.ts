/**
 * Programs that are started before anybody calls them, and wait for their input: what a fence agent takes to start (100 to 300 ms for
 * one of Debian's) is not waited for when a node is lost.
 *
 * One that waits is stopped (SIGSTOP). It costs no processor then, and should this process end, the end of its input finds it standing
 * still until the next monitor kills it: an agent without orders must never act on what it takes for granted.
 */
import { statSync } from 'node:fs'
import type { MonitorOrder } from '../core/monitor/index.js'
import { beginCall, type CallRequest } from '../io/agents/index.js'
import { type Action, type Containment, signalProcess } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

type Program = Extract<MonitorOrder, { kind: 'ready' }>['programs'][number]

interface Waiting {
  readonly action: Action
  readonly file: string
  readonly since: number
}

interface Pool {
  program: Program
  readonly waiting: Waiting[]
  /** Ended by themselves one after the other: such a program does not wait for its input. */
  ended: number
}

/** A program that has come so far waits for its input; in milliseconds after its start. */
const startMax = 3_000
/** After one was taken the machine has better things to do. Milliseconds. */
const refillAfter = 5_000
const lookEvery = 60_000
/** What a program has loaded may have been replaced on disk since. Milliseconds. */
const ageMax = 30 * 60_000
const endedMax = 3
/** Of those that nobody has taken yet; it begins with the release in any case. */
const noTimeout = 24 * 3_600_000

let count = 0

export class ReadyPrograms {
  readonly #runFolder: RunFolder
  readonly #containment: Containment
  readonly #log: (text: string) => void
  readonly #pools = new Map<string, Pool>()
  readonly #looking: NodeJS.Timeout
  #closed = false

  constructor(runFolder: RunFolder, containment: Containment, log: (text: string) => void) {
    this.#runFolder = runFolder
    this.#containment = containment
    this.#log = log
    this.#looking = setInterval(() => this.#look(), lookEvery).unref()
  }

  /** These, and no others. */
  want(programs: readonly Program[]) {
    const wanted = new Map(programs.map((program) => [keyOf(program), program]))
    for (const [key, pool] of this.#pools) {
      if (wanted.has(key)) continue
      this.#pools.delete(key)
      end(pool.waiting)
    }
    for (const [key, program] of wanted) {
      const pool = this.#pools.get(key) ?? { program, waiting: [], ended: 0 }
      pool.program = program
      pool.ended = 0
      end(pool.waiting.splice(program.count))
      this.#pools.set(key, pool)
      this.#fill(pool)
    }
  }

  /** One that waits for this call's input, if there is one; it is released as any other that was started held. */
  take(call: CallRequest): Action | undefined {
    const pool = this.#pools.get(keyOf(call))
    if (pool === undefined || call.workingDirectory !== undefined || call.user !== undefined) return undefined
    const file = fileOf(pool.program)
    const one = pool.waiting.shift()
    if (one === undefined) return undefined
    setTimeout(() => this.#fill(pool), refillAfter).unref()
    if (one.file !== file) {
      end([one])
      return undefined
    }
    const { process: identity } = one.action
    if (identity !== undefined) signalProcess(identity, 'SIGCONT', true)
    return { ...one.action, release: () => one.action.release({ input: call.input, timeout: call.timeout }) }
  }

  close() {
    this.#closed = true
    clearInterval(this.#looking)
    for (const pool of this.#pools.values()) end(pool.waiting.splice(0))
  }

  #fill(pool: Pool) {
    while (!this.#closed && this.#pools.get(keyOf(pool.program)) === pool && pool.waiting.length < pool.program.count) {
      const file = fileOf(pool.program)
      if (file === undefined || pool.ended >= endedMax) return // It is looked for again now and then.
      const { argv, environment } = pool.program
      const request = { callId: `ready-${++count}`, argv, environment, input: '', hold: true, timeout: noTimeout }
      let action: Action
      try {
        action = beginCall(request, this.#runFolder, this.#containment)
      } catch (error) {
        this.#log(`${argv[0]} is not kept ready: ${error}`)
        return
      }
      const one = { action, file, since: performance.now() }
      pool.waiting.push(one)
      const stopping = setTimeout(() => stop(pool, one), startMax).unref()
      void action.done.then(({ kind, stderr }) => {
        clearTimeout(stopping)
        const at = pool.waiting.indexOf(one)
        if (at < 0) return
        pool.waiting.splice(at, 1)
        if (++pool.ended === endedMax) this.#log(`${argv[0]} is not kept ready: it does not wait for its input (${kind} ${stderr.trim()})`)
        setTimeout(() => this.#fill(pool), refillAfter).unref()
      })
    }
  }

  /** Replaces, one at a time, what is old or was started from a file that is another one now. */
  #look() {
    for (const pool of this.#pools.values()) {
      const file = fileOf(pool.program)
      const at = pool.waiting.findIndex((one) => one.file !== file || performance.now() - one.since > ageMax)
      if (at >= 0) end(pool.waiting.splice(at, 1))
      this.#fill(pool)
    }
  }
}

function stop(pool: Pool, one: Waiting) {
  const { process: identity } = one.action
  if (identity === undefined || !pool.waiting.includes(one)) return
  pool.ended = 0
  signalProcess(identity, 'SIGSTOP', true)
}

function end(waiting: readonly Waiting[]) {
  for (const { action } of waiting) action.cancel()
}

const keyOf = ({ argv, environment }: Pick<Program, 'argv' | 'environment'>): string => JSON.stringify([argv, environment])

/** Which file the program is now; undefined where there is none. */
function fileOf({ argv }: Program): string | undefined {
  const [path] = argv
  try {
    const { dev, ino, size, mtimeMs } = statSync(path ?? '')
    return `${dev}/${ino}/${size}/${mtimeMs}`
  } catch {
    return undefined
  }
}
