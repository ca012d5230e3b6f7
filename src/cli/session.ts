/** One run of the command: where it speaks to, where it prints, how it ends. */
import { readFileSync } from 'node:fs'
import { ClusterError } from '../base/index.js'
import { type Answered, type Asked, Client } from './client.js'
import { type ExitCode, exitCodes, exitOf } from './exit.js'

export interface Terminal {
  out(text: string): void
  error(text: string): void
}

export interface Options {
  readonly url?: string
  readonly socket: string
  readonly output: 'table' | 'json'
  readonly curl?: boolean
  /** A duration; set where the answer is to be waited for. */
  readonly wait?: string
}

// biome-ignore lint/suspicious/noExplicitAny: answers are shown, whatever they hold.
export type Body = any

export class Session {
  exitCode: ExitCode = exitCodes.done
  readonly options: Options
  private readonly client: Client
  private readonly terminal: Terminal

  constructor(options: Options, terminal: Terminal) {
    this.options = options
    this.terminal = terminal
    this.client = new Client({ url: options.url, socket: options.socket })
  }

  /** Asks, and shows the answer as a table or as it came; a refusal with its next step. `wanted`: how an operation in it should have ended. */
  async show(asked: Asked, asTable: (body: Body) => string, wanted = 'done'): Promise<void> {
    const answer = await this.ask(asked)
    if (answer === undefined) return
    this.exitCode = endOf(answer, wanted)
    if (answer.status >= 400 && answer.body?.code !== undefined) return this.refused(answer)
    if (this.options.output === 'json' || answer.body === undefined) this.print(answer.text.trimEnd())
    else this.print(asTable(answer.body) || 'none')
  }

  /** Undefined where only the curl command was asked for, which is then printed. */
  async ask(asked: Asked): Promise<Answered | undefined> {
    if (this.options.curl !== true) return this.client.ask(asked)
    this.print(this.client.curl(asked))
    return undefined
  }

  async follow(asked: Asked, take: (line: string) => void): Promise<void> {
    if (this.options.curl === true) return this.print(this.client.curl(asked))
    const answer = await this.client.lines(asked, take)
    this.exitCode = exitOf(answer.status)
    if (answer.status >= 400) this.refused(answer)
  }

  /** Each line of an answer that ends. */
  async lines(asked: Asked, take: (line: string) => void): Promise<void> {
    await this.client.lines(asked, take)
  }

  print(text: string): void {
    if (text !== '') this.terminal.out(`${text}\n`)
  }

  private refused({ body, text, status }: Answered): void {
    if (this.options.output === 'json') this.print(text.trimEnd())
    const { code, detail, fix } = body ?? {}
    this.terminal.error(`quorate: ${code ?? status}: ${detail ?? text.trim()}\n`)
    if (typeof fix === 'string') this.terminal.error(`  next: ${fix}\n`)
  }
}

/** Operations that have ended badly are failures, whatever the status of the answer. */
function endOf({ status, body }: Answered, wanted: string): ExitCode {
  if (status < 400 && typeof body?.kind === 'string' && typeof body.status === 'string') {
    if (body.status === 'running') return exitCodes.stillGoing
    return body.status === wanted ? exitCodes.done : exitCodes.failed
  }
  return exitOf(status)
}

/** A file, or `-` for standard input. */
export function readInput(file: string): { readonly type: string; readonly text: string } {
  let text: string
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    throw new ClusterError('INVALID', `${file} cannot be read: ${(error as Error).message}`, {
      fix: 'name a file, or - for standard input',
    })
  }
  const isJson = file.endsWith('.json') || (!/\.ya?ml$/.test(file) && /^\s*[[{]/.test(text))
  return { type: isJson ? 'application/json' : 'application/yaml', text }
}

/** JSON where it is JSON, else the text itself. */
export function jsonOrText(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

export const segment = (name: string): string => encodeURIComponent(name)
