/**
 * A message bus with a systemd on it, in this process: for jobs that are slow or fail on demand, and for one that does not answer.
 *
 * It starts no processes. As the real one it reads drop-ins when it is told to, and starts nothing whose file of the environment is
 * not there.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { type BusMessage, type BusValue, BusVariant, encodeMessage, MessageReader } from '../../../src/io/bus/index.js'

const name = 'org.freedesktop.systemd1'

export interface FakeUnit {
  load: string
  active: string
  sub: string
  job: { readonly id: number; readonly type: string } | undefined
  fileState: string
  type: string
  remain: boolean
  restart: string
  forced: readonly number[]
  wantedBy: readonly string[]
  triggeredBy: readonly string[]
  result: string
  exit: readonly [code: number, status: number]
  dropIns: readonly string[]
  environmentFiles: readonly string[]
  /** Its own name, where it is known by another. */
  id: string | undefined
}

export class FakeSystemd {
  readonly socket: string
  readonly dropIns: string
  readonly units = new Map<string, FakeUnit>()
  /** What was asked, such as `StartUnit web.service`. */
  readonly asked: string[] = []
  /** Asks nothing and says nothing while it hangs; what came meanwhile is done afterwards. */
  isHanging = false
  /** Milliseconds that a job takes. */
  jobTakes = 5
  /** What comes of a start. */
  startResult: 'done' | 'failed' = 'done'
  readonly #server: Server
  readonly #clients = new Set<Socket>()
  readonly #held: { readonly client: Socket; readonly message: BusMessage }[] = []
  #serial = 0
  #jobs = 0

  constructor(folder: string) {
    this.socket = join(folder, 'bus')
    this.dropIns = join(folder, 'units')
    this.#server = createServer((client) => this.#serve(client))
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(this.socket, resolve))
    return this
  }

  unit(named: string, more: Partial<FakeUnit> = {}): FakeUnit {
    const unit: FakeUnit = {
      load: 'loaded',
      active: 'inactive',
      sub: 'dead',
      job: undefined,
      fileState: 'disabled',
      type: 'simple',
      remain: false,
      restart: 'on-failure',
      forced: [],
      wantedBy: [],
      triggeredBy: [],
      result: 'success',
      exit: [0, 0],
      dropIns: [],
      environmentFiles: [],
      id: undefined,
      ...more,
    }
    this.units.set(named, unit)
    return unit
  }

  /** Its main process ends. */
  die(named: string, exit: FakeUnit['exit'], result = 'exit-code') {
    const unit = this.units.get(named)
    if (unit === undefined) throw new Error(`there is no ${named}`)
    Object.assign(unit, { active: 'failed', sub: 'failed', exit, result })
    this.#tellChange(named, unit)
  }

  /** It goes on. */
  wake() {
    this.isHanging = false
    for (const { client, message } of this.#held.splice(0)) this.#handle(client, message)
  }

  /** Ends all connections, as a bus that is started anew. */
  drop() {
    for (const client of this.#clients) client.destroy()
  }

  async close() {
    this.drop()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #serve(client: Socket) {
    this.#clients.add(client)
    client.on('close', () => this.#clients.delete(client))
    client.on('error', () => {})
    let reader: MessageReader | undefined
    let greeting = ''
    client.on('data', (chunk: Buffer) => {
      if (reader !== undefined) return this.#take(client, reader, chunk)
      greeting += chunk.toString('latin1')
      if (/^\0AUTH EXTERNAL [0-9a-f]+\r\n$/.test(greeting)) client.write('OK 0123456789abcdef\r\n')
      const end = greeting.indexOf('BEGIN\r\n')
      if (end < 0) return
      reader = new MessageReader()
      this.#take(client, reader, Buffer.from(greeting.slice(end + 7), 'latin1'))
    })
  }

  #take(client: Socket, reader: MessageReader, chunk: Uint8Array) {
    for (const message of reader.push(chunk)) this.#handle(client, message)
  }

  #handle(client: Socket, message: BusMessage) {
    if (message.destination === name && this.isHanging) {
      this.#held.push({ client, message })
      return
    }
    const reply = (signature: string, body: readonly BusValue[]) =>
      client.write(encodeMessage({ kind: 'reply', serial: ++this.#serial, replyTo: message.serial, signature, body }))
    const refuse = (error: string) =>
      client.write(
        encodeMessage({ kind: 'error', serial: ++this.#serial, replyTo: message.serial, error, signature: 's', body: ['it says no'] }),
      )
    const [first, second] = message.body
    if (message.destination === name && message.member !== undefined) this.asked.push(`${message.member} ${message.body.join(' ')}`.trim())
    switch (message.member) {
      case 'Hello':
        return reply('s', [':1.7'])
      case 'AddMatch':
      case 'Subscribe':
        return reply('', [])
      case 'ListUnitsByNames':
        return reply('a(ssssssouso)', [(first as readonly string[]).map((named) => this.#row(named))])
      case 'LoadUnit':
        return reply('o', [pathOf(String(first))])
      case 'GetUnitByPID':
        return refuse(`${name}.NoUnitForPID`)
      case 'GetUnitFileState': {
        const unit = this.units.get(String(first))
        return unit === undefined || unit.fileState === ''
          ? refuse('org.freedesktop.DBus.Error.FileNotFound')
          : reply('s', [unit.fileState])
      }
      case 'GetAll':
        return reply('a{sv}', [this.#properties(unitAt(message.path), String(first))])
      case 'Get':
        return reply('v', [new BusVariant('s', second === 'ControlGroup' ? '/no-such-tree' : '')])
      case 'Reload':
        this.#reload()
        return reply('', [])
      case 'StartUnit':
      case 'StopUnit': {
        const unit = this.units.get(String(first))
        if (unit === undefined) return refuse(`${name}.NoSuchUnit`)
        const id = ++this.#jobs
        reply('o', [jobPath(id)])
        return this.#work(String(first), unit, message.member === 'StartUnit' ? 'start' : 'stop', id)
      }
      case 'Cancel': {
        const id = Number(message.path?.split('/').at(-1))
        for (const [named, unit] of this.units) if (unit.job?.id === id) this.#end(named, unit, id, 'canceled')
        return reply('', [])
      }
      default:
        return refuse('org.freedesktop.DBus.Error.UnknownMethod')
    }
  }

  #work(named: string, unit: FakeUnit, type: 'start' | 'stop', id: number) {
    unit.job = { id, type }
    Object.assign(unit, type === 'start' ? { active: 'activating', sub: 'start' } : { active: 'deactivating', sub: 'stop-sigterm' })
    this.#tellChange(named, unit)
    setTimeout(() => {
      if (unit.job?.id !== id) return
      const isGranted = unit.environmentFiles.every((file) => existsSync(file))
      const result = type === 'stop' ? 'done' : isGranted ? this.startResult : 'failed'
      if (type === 'stop') Object.assign(unit, { active: 'inactive', sub: 'dead', result: 'success' })
      else if (result === 'done') Object.assign(unit, { active: 'active', sub: 'running', result: 'success', exit: [0, 0] })
      else
        Object.assign(unit, {
          active: 'failed',
          sub: 'failed',
          result: isGranted ? 'exit-code' : 'resources',
          exit: [isGranted ? 1 : 0, 3],
        })
      this.#end(named, unit, id, result)
    }, this.jobTakes)
  }

  #end(named: string, unit: FakeUnit, id: number, result: string) {
    unit.job = undefined
    this.#tellChange(named, unit)
    this.#signal('/org/freedesktop/systemd1', `${name}.Manager`, 'JobRemoved', 'uoss', [id, jobPath(id), named, result])
  }

  #reload() {
    for (const [named, unit] of this.units) {
      const folder = join(this.dropIns, `${named}.d`)
      const files = existsSync(folder)
        ? readdirSync(folder)
            .filter((file) => file.endsWith('.conf'))
            .sort()
            .map((file) => join(folder, file))
        : []
      const lines = files.flatMap((file) => readFileSync(file, 'utf8').split('\n'))
      const valuesOf = (key: string) => lines.flatMap((line) => (line.startsWith(`${key}=`) ? [line.slice(key.length + 1)] : []))
      unit.dropIns = files
      unit.restart = valuesOf('Restart').at(-1) ?? 'on-failure'
      unit.environmentFiles = valuesOf('EnvironmentFile')
    }
  }

  #row(named: string): BusValue {
    const unit = this.units.get(named)
    const { load = 'not-found', active = 'inactive', sub = 'dead', job } = unit ?? {}
    return [named, named, load, active, sub, '', pathOf(named), job?.id ?? 0, job?.type ?? '', job === undefined ? '/' : jobPath(job.id)]
  }

  #properties(named: string, of: string): BusValue {
    const unit = this.units.get(named) ?? this.#missing()
    const texts = (values: readonly string[]) => new BusVariant('as', values)
    if (of === `${name}.Unit`)
      return [
        ['Id', new BusVariant('s', unit.id ?? named)],
        ['Description', new BusVariant('s', `what ${named} is for`)],
        ['UnitFileState', new BusVariant('s', unit.fileState)],
        ['FragmentPath', new BusVariant('s', `/etc/systemd/system/${named}`)],
        ['DropInPaths', texts(unit.dropIns)],
        ['NeedDaemonReload', new BusVariant('b', false)],
        ['WantedBy', texts(unit.wantedBy)],
        ['TriggeredBy', texts(unit.triggeredBy)],
      ]
    return [
      ['ControlGroup', new BusVariant('s', '')],
      ['Slice', new BusVariant('s', 'system.slice')],
      ['Type', new BusVariant('s', unit.type)],
      ['RemainAfterExit', new BusVariant('b', unit.remain)],
      ['Restart', new BusVariant('s', unit.restart)],
      ['RestartForceExitStatus', new BusVariant('(aiai)', [unit.forced, []])],
      [
        'EnvironmentFiles',
        new BusVariant(
          'a(sb)',
          unit.environmentFiles.map((file) => [file, false]),
        ),
      ],
      ['User', new BusVariant('s', '')],
      ['Result', new BusVariant('s', unit.result)],
      ['ExecMainCode', new BusVariant('i', unit.exit[0])],
      ['ExecMainStatus', new BusVariant('i', unit.exit[1])],
    ]
  }

  #missing(): FakeUnit {
    const known = new FakeSystemd('/nowhere')
    return known.unit('missing', { load: 'not-found', fileState: '' })
  }

  #tellChange(named: string, { active, sub }: FakeUnit) {
    const changed = [
      ['ActiveState', new BusVariant('s', active)],
      ['SubState', new BusVariant('s', sub)],
    ]
    this.#signal(pathOf(named), 'org.freedesktop.DBus.Properties', 'PropertiesChanged', 'sa{sv}as', [`${name}.Unit`, changed, []])
  }

  #signal(path: string, of: string, member: string, signature: string, body: readonly BusValue[]) {
    if (this.isHanging) return
    for (const client of this.#clients)
      client.write(encodeMessage({ kind: 'signal', serial: ++this.#serial, path, interface: of, member, sender: name, signature, body }))
  }
}

const jobPath = (id: number) => `/org/freedesktop/systemd1/job/${id}`
const unitsPath = '/org/freedesktop/systemd1/unit/'
const pathOf = (named: string) => unitsPath + Buffer.from(named).toString('hex')
const unitAt = (path = '') => Buffer.from(path.slice(unitsPath.length), 'hex').toString()
