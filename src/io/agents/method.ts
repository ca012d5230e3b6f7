/** One run of one method: its time, its cancellation, and the programs it starts on the way. */
import { type BootInstant, bootClockGrain, type GroupName, InvariantError } from '../../base/index.js'
import type { CopyLists } from '../../core/cluster/index.js'
import { isAddress, type MethodRequest, type MethodResult, type ProcessIdentity } from '../../core/monitor/index.js'
import type { Clock } from '../clock/index.js'
import { type Action, type ActionOutcome, type ActionRequest, type Cell, spawnAction, tailOf } from '../processes/index.js'
import type { RunFolder } from '../run-folder/index.js'
import { methodEnvironment } from './environment.js'
import type { Pace, Urgency } from './pace.js'
import { appendToActionsLog } from './resource-log.js'

export interface Method {
  readonly result: Promise<MethodResult>
  /** Ends it, with every process that it has started, except a kept service. */
  cancel(): void
}

/** What a method may be asked to do by whoever runs it. */
export interface MethodWorld {
  readonly runFolder: RunFolder
  readonly clock: Clock
  /** On which nodes copies of a group are what, where its agents are to know. */
  readonly copies?: (group: GroupName) => CopyLists | undefined
  readonly pace: Pace
  readonly isPatient?: boolean
  readonly cell: Cell
  readonly outputFolder: string
  /** Log of the resource: its service, and its starts, append to it. */
  readonly log: string
  /** What its stops said, and its probes when they were bad. */
  readonly actionsLog: string
  readonly onSpawned: (process: ProcessIdentity) => void
}

export type MethodBody = (context: MethodContext) => Promise<MethodResult>

type Program = Pick<ActionRequest, 'argv'> & Partial<Pick<ActionRequest, 'environment' | 'workingDirectory' | 'user' | 'input'>>

export class MethodContext {
  readonly request: MethodRequest
  readonly world: MethodWorld
  readonly #deadline: () => BootInstant
  /** Resolves when the method is over. */
  readonly over: Promise<void>
  /** To be called once it is. */
  end: () => void = () => {}
  #until: number
  #hasBegun = false
  readonly #abort = new AbortController()
  #action: Action | undefined

  constructor(request: MethodRequest, deadline: () => BootInstant, world: MethodWorld) {
    this.request = request
    this.world = world
    this.#deadline = deadline
    this.#until = performance.now() + request.timeout
    this.over = new Promise((resolve) => {
      this.end = resolve
    })
  }

  /** Its time begins anew: it had to wait for its turn. */
  beginAgain() {
    this.#until = performance.now() + this.request.timeout
  }

  get signal(): AbortSignal {
    return this.#abort.signal
  }

  /** Milliseconds left of the method's time. */
  remaining(): number {
    return Math.max(0, this.#until - performance.now())
  }

  /** The last look before a spawn that starts something: the answer is void as soon as anything is awaited. */
  refusal(): MethodResult | undefined {
    const { group, token, method } = this.request
    if (!beginsSomething(method)) return undefined
    if (this.world.runFolder.seals.isSealed(group, token)) {
      return { outcome: 'refused', because: 'sealed', detail: `token ${token} is sealed` }
    }
    const now = this.world.clock.boot()
    const deadline = this.#deadline()
    if (now + bootClockGrain < deadline) return undefined
    return { outcome: 'refused', because: 'deadline', detail: `the lease has run out at ${deadline}, it is ${now}` }
  }

  /** Waits until a program may be started, at once after this. What stands against it otherwise. */
  async turn(): Promise<MethodResult | undefined> {
    const { pace, isPatient } = this.world
    const since = performance.now()
    const given = isAtOnce(this.request) || (await pace.take(this.#hasBegun ? 'first' : urgencyOf(this.request), this.signal))
    this.#hasBegun = true
    // What others take is not its own time. In an emergency nobody has more; but what was stopped in time is to be found so.
    if (isPatient === true || this.request.method === 'probe') this.#until += performance.now() - since
    if (!given || this.signal.aborted) return { outcome: 'cancelled' }
    return this.remaining() > 0 ? undefined : { outcome: 'timed-out', detail: 'its turn came when its time was over' }
  }

  get seal() {
    const { group, token, method } = this.request
    return beginsSomething(method) ? { path: this.world.runFolder.seals.pathOf(group), token } : undefined
  }

  environment(extra?: Readonly<Record<string, string>>): Record<string, string> {
    return methodEnvironment(this.request, this.world.runFolder, extra)
  }

  /** Runs a program within the method's time. After a refusal, that is the method's result. */
  async run(program: Program, part: 'service' | 'action' = 'action'): Promise<ActionOutcome | MethodResult> {
    const action = await this.begin(program, part)
    if ('outcome' in action) return action
    this.#action = action
    const outcome = await action.done
    this.#action = undefined
    if (part === 'action' && isWorthKeeping(this.request, outcome)) appendToActionsLog(this.world.actionsLog, this.request, outcome)
    return outcome
  }

  /** As `run`, and does not wait for its end. */
  async begin(program: Program, part: 'service' | 'action' = 'action'): Promise<Action | MethodResult> {
    const obstacle = await this.turn()
    // The turn is given in a moment of its own: what has come since counts too.
    const refusal = obstacle ?? (this.signal.aborted ? { outcome: 'cancelled' as const } : part === 'service' ? this.refusal() : undefined)
    if (refusal !== undefined) return refusal
    const action = spawnAction({
      ...program,
      environment: this.environment(program.environment),
      openFiles: part === 'service' ? this.request.definition.limits?.openFiles : undefined,
      cell: this.world.cell,
      part,
      seal: part === 'service' ? this.seal : undefined,
      output: part === 'service' ? { log: this.world.log } : { folder: this.world.outputFolder },
      timeout: this.remaining(),
    })
    if (part === 'service' && action.process !== undefined) this.world.onSpawned(action.process)
    return action
  }

  cancel() {
    this.#abort.abort()
    this.#action?.cancel()
  }
}

/** What may leave something running behind is not begun past the lease. */
const beginsSomething = (method: MethodRequest['method']) => method === 'start' || method === 'reload' || method === 'migrate'

/** Where a start that has not begun could not be told from one that has, nothing may lie between the word for it and its spawn. */
function isAtOnce({ method, place, definition }: MethodRequest): boolean {
  return method === 'start' && (place.kind === 'sweep' || definition.role !== undefined)
}

function urgencyOf({ method, urgency, definition }: MethodRequest): Urgency {
  if (method === 'stop') return isAddress(definition.type) ? 'first' : 'stop'
  return urgency ?? (method === 'probe' ? 'periodic' : 'soon')
}

/** Programs of our own say nothing to a person, and good probes the same every few seconds. */
function isWorthKeeping({ method, deep, definition: { type, operations, parameters } }: MethodRequest, outcome: ActionOutcome): boolean {
  if (outcome.kind === 'cancelled' || (type !== 'command' && !type.startsWith('ocf:'))) return false
  // All that the start of a kept process runs beside it is its probe.
  const isLook = method === 'probe' || operations === 'none' || (type === 'command' && parameters.run !== undefined)
  return !isLook || outcome.kind !== 'exited' || (outcome.code !== 0 && (outcome.code !== 7 || deep !== undefined))
}

export function beginMethod(context: MethodContext, body: MethodBody): Method {
  const result = body(context).catch((error: unknown): MethodResult => {
    if (error instanceof InvariantError) throw error
    return { outcome: 'failed', detail: `it could not be run: ${String(error)}` }
  })
  void result.then(context.end, context.end)
  return {
    result: result.then((outcome) => (context.signal.aborted && outcome.outcome === 'failed' ? { outcome: 'cancelled' } : outcome)),
    cancel: () => context.cancel(),
  }
}

export const isResult = (value: ActionOutcome | MethodResult): value is MethodResult => 'outcome' in value

/** The outcome of a program for which exit status 0 alone is good. */
export function judgeExit(outcome: ActionOutcome, judge: (code: number) => MethodResult | undefined = () => undefined): MethodResult {
  const said = tailOf(outcome.stderr) || tailOf(outcome.stdout)
  const saying = said === '' ? '' : `: ${said}`
  switch (outcome.kind) {
    case 'exited': {
      const judged = outcome.code === undefined ? undefined : judge(outcome.code)
      if (judged !== undefined)
        return 'detail' in judged
          ? { ...judged, detail: judged.detail + saying }
          : judged.degraded === true
            ? { ...judged, note: said || 'degraded' }
            : judged
      if (outcome.code === 0) return { outcome: 'done' }
      const how = outcome.code === undefined ? `was killed by ${outcome.signal}` : `ended with status ${outcome.code}`
      return { outcome: 'failed', detail: `it ${how}${saying}` }
    }
    case 'timed-out':
      return { outcome: 'timed-out', detail: `it was killed after ${outcome.elapsedMs} ms${saying}` }
    case 'cancelled':
      return { outcome: 'cancelled' }
    case 'sealed':
      return { outcome: 'refused', because: 'sealed', detail: 'the token was sealed meanwhile' }
    case 'failed-to-start':
      return { outcome: 'failed', detail: `it could not be started${saying}` }
  }
}

/** Whoever sent it was killed: what it had begun may go on without it. */
export const killedSending = (signal: string): MethodResult => ({ outcome: 'timed-out', detail: `what sent it was ended by ${signal}` })
