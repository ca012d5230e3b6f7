/**
 * Simulated management controllers of a node's machine, for real fence agents: IPMI by OpenIPMI's simulator (`ipmi_sim`), and Redfish.
 *
 * Both switch the same power supply, and both can be as bad as real ones are: see `Mood`.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { pause } from './http.js'
import { projectRoot } from './lab.js'
import type { Power } from './power.js'

export type Mood =
  | 'honest'
  /** Each answer takes a second. */
  | 'slow'
  /** Says that it has switched and has not; asked for the state it tells the truth. */
  | 'powerless'
  /** Says that it has switched and has not, and that the machine is off, whatever it is. */
  | 'lying'
  /** Switches, and never says a word again. */
  | 'falls-silent'

export interface Controller {
  mood: Mood
  /** What it was asked to switch, oldest first. */
  readonly asked: string[]
  /** As `fencing.levels` takes it. */
  readonly device: Record<string, unknown>
  /** Out of reach until `plug`. */
  unplug(): Promise<void>
  plug(): Promise<void>
  close(): Promise<void>
}

const [user, password] = ['fence', 's3cret']

/** What both kinds do when they are asked; undefined for never an answer. */
class Machine {
  mood: Mood = 'honest'
  readonly asked: string[] = []
  private readonly power: Power
  private silent = false

  constructor(power: Power) {
    this.power = power
  }

  async isOn(): Promise<boolean | undefined> {
    if (this.mood === 'slow') await pause(1_000)
    if (this.mood === 'falls-silent' && this.silent) return undefined
    return this.mood === 'lying' ? false : this.power.isOn()
  }

  /** Whether it answers. */
  async set(on: boolean): Promise<boolean> {
    this.asked.push(on ? 'on' : 'off')
    if (this.mood === 'slow') await pause(1_000)
    if (this.mood === 'falls-silent' && this.silent) return false
    if (this.mood === 'powerless' || this.mood === 'lying') return true
    // The simulator waits for its chassis: what takes longer is seen by asking again.
    if (on !== this.power.isOn()) await (on ? this.power.on() : this.power.off())
    if (this.mood !== 'falls-silent') return true
    this.silent = true
    return false
  }
}

/** `folder`: a new one. */
export async function startIpmi(node: string, folder: string, port: number, power: Power): Promise<Controller> {
  const machine = new Machine(power)
  const socket = join(folder, 'chassis.sock')
  mkdirSync(join(folder, 'state'), { recursive: true })
  // Those that are never answered would keep this process.
  const open = new Set<Socket>()
  const chassis = createServer((asking) => {
    open.add(asking)
    asking.on('close', () => open.delete(asking))
    asking.setEncoding('utf8')
    asking.on('error', () => undefined)
    asking.once(
      'data',
      (line: string) => void answerChassis(machine, line.trim().split(' ')).then((reply) => reply !== undefined && asking.end(reply)),
    )
  })
  await listening(chassis, (done) => chassis.listen(socket, done))
  const program = `${process.execPath} ${join(projectRoot, 'scripts/lib/chassis.mjs')} ${socket}`
  const auths = [
    'callback none md2 md5 straight',
    'user none md2 md5 straight',
    'operator none md2 md5 straight',
    'admin none md2 md5 straight',
  ]
  writeFileSync(
    join(folder, 'lan.conf'),
    [
      `name "${node}"`,
      'set_working_mc 0x20',
      '  startlan 1',
      `    addr 127.0.0.1 ${port}`,
      '    priv_limit admin',
      ...auths.map((line) => `    allowed_auths_${line}`),
      '    guid a123456789abcdefa123456789abcde0',
      '  endlan',
      `  chassis_control "${program}"`,
      '  user 1 true "" "" user 10 none md2 md5 straight',
      `  user 2 true "${user}" "${password}" admin 10 none md2 md5 straight`,
      '',
    ].join('\n'),
  )
  const describe = [
    'mc_setbmc 0x20',
    'mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr',
    'sel_enable 0x20 1000 0x0a',
    'mc_enable 0x20',
    '',
  ]
  writeFileSync(join(folder, 'bmc.emu'), describe.join('\n'))
  let simulator: ChildProcess | undefined
  const plug = async (): Promise<void> => {
    const args = ['-n', '-c', join(folder, 'lan.conf'), '-f', join(folder, 'bmc.emu'), '-s', join(folder, 'state')]
    simulator ??= spawn('ipmi_sim', args, { cwd: folder, stdio: 'ignore' })
    simulator.once('error', () => undefined)
  }
  const unplug = async (): Promise<void> => {
    const ending = simulator
    simulator = undefined
    if (ending === undefined || ending.exitCode !== null) return
    const ended = new Promise((done) => ending.once('exit', done))
    ending.kill('SIGKILL')
    await ended
  }
  await plug()
  const settings = { lanplus: 1, cipher: 3, power_wait: 0, login_timeout: 4, shell_timeout: 4, power_timeout: 3 }
  return controllerOf(machine, {
    device: {
      agent: 'fence_ipmilan',
      parameters: { ip: '127.0.0.1', ipport: port, username: user, password, ...settings },
      timeout: '20s',
    },
    plug,
    unplug,
    close: async () => {
      await unplug()
      for (const asking of open) asking.destroy()
      chassis.close()
      rmSync(socket, { force: true })
    },
  })
}

/** `get power` or `set power 0|1`; `boot` and others are not kept. */
async function answerChassis(machine: Machine, [verb, name, value]: readonly string[]): Promise<string | undefined> {
  if (name !== 'power' && name !== 'reset' && name !== 'shutdown') return verb === 'get' ? `${name}:none\n` : ''
  if (verb === 'get') {
    const on = await machine.isOn()
    return on === undefined ? undefined : `power:${on ? 1 : 0}\n`
  }
  return (await machine.set(name === 'power' && value === '1')) ? '' : undefined
}

/** HTTPS with a certificate of its own, as controllers have. */
export async function startRedfish(folder: string, port: number, power: Power): Promise<Controller> {
  const machine = new Machine(power)
  mkdirSync(folder, { recursive: true })
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=127.0.0.1',
      '-keyout',
      key,
      '-out',
      cert,
    ],
    { stdio: 'ignore' },
  )
  const system = '/redfish/v1/Systems/1'
  const reset = `${system}/Actions/ComputerSystem.Reset`
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
  let server: SecureServer | undefined
  const plug = async (): Promise<void> => {
    if (server !== undefined) return
    const made = createSecureServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
      const answer = (status: number, body?: unknown): void => {
        response.writeHead(status, { 'content-type': 'application/json', 'odata-version': '4.0' })
        response.end(body === undefined ? '' : JSON.stringify(body))
      }
      let text = ''
      request.setEncoding('utf8')
      request.on('data', (chunk: string) => {
        text += chunk
      })
      request.on('end', async () => {
        if (request.headers.authorization !== authorization) return answer(401, { error: { code: 'Base.1.0.NoValidSession' } })
        const path = (request.url ?? '').replace(/\/$/, '')
        if (request.method === 'GET' && path === '/redfish/v1') return answer(200, { Systems: { '@odata.id': '/redfish/v1/Systems' } })
        if (request.method === 'GET' && path === '/redfish/v1/Systems') return answer(200, { Members: [{ '@odata.id': system }] })
        if (request.method === 'GET' && path === system) {
          const on = await machine.isOn()
          const actions = { '#ComputerSystem.Reset': { target: reset, 'ResetType@Redfish.AllowableValues': ['On', 'ForceOff'] } }
          return on === undefined
            ? undefined
            : answer(200, { '@odata.id': system, Id: '1', PowerState: on ? 'On' : 'Off', Actions: actions })
        }
        if (request.method === 'POST' && path === reset)
          return (await machine.set((JSON.parse(text) as { ResetType: string }).ResetType === 'On')) ? answer(204) : undefined
        answer(404, {})
      })
    })
    await listening(made, (done) => made.listen(port, '127.0.0.1', done))
    server = made
  }
  const unplug = async (): Promise<void> => {
    const ending = server
    server = undefined
    if (ending === undefined) return
    ending.closeAllConnections()
    await new Promise((done) => ending.close(done))
  }
  await plug()
  const parameters = {
    ip: '127.0.0.1',
    ipport: port,
    username: user,
    password,
    ssl_insecure: 1,
    systems_uri: system,
    power_wait: 0,
    login_timeout: 4,
    shell_timeout: 4,
    power_timeout: 3,
  }
  return controllerOf(machine, { device: { agent: 'fence_redfish', parameters, timeout: '20s' }, plug, unplug, close: unplug })
}

function controllerOf(machine: Machine, rest: Omit<Controller, 'mood' | 'asked'>): Controller {
  return {
    ...rest,
    get mood() {
      return machine.mood
    },
    set mood(mood) {
      machine.mood = mood
    },
    get asked() {
      return machine.asked
    },
  }
}

function listening(server: Server, listen: (done: () => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    listen(resolve)
  })
}
