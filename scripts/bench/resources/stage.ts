/** Three nodes on loopback, and resources on them that cost as little as a program can. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Answer, pause, request, waitFor } from '../../lib/http.js'
import { freePort, type Lab, makeLab } from '../../lib/lab.js'
import type { Power, Role } from '../../lib/power.js'

export const names = ['n1', 'n2', 'n3'] as const
export const roles: readonly Role[] = ['guardian', 'daemon', 'monitor']
/** Until all of many resources run, in milliseconds. */
const patience = 15 * 60_000
/** Requests under way at once while groups are defined. */
const askedAtOnce = 8

/**
 * `light.sh METHOD FOLDER NAME`: what runs is a file of the node's. How it is disturbed lies beside it: `NAME.fail` lets probes fail,
 * `NAME.hang` lets them hang. With `noted`, the times of starts, stops and disturbed probes are noted.
 */
const program = `#!/bin/sh
what=$1 state=$2/$QUORATE_NODE/$3 noted=$2/noted/$3
note() { [ ! -e "$noted" ] || echo "$(date +%s%3N) $1" >>"$noted"; }
case $what in
  start) note start && : >"$state" ;;
  stop) note stop && rm -f "$state" ;;
  probe)
    [ -e "$state" ] || exit 7
    if [ -e "$state.fail" ]; then note failing; exit 1; fi
    if [ -e "$state.hang" ]; then note hanging; exec sleep 600; fi
    ;;
esac
exit 0
`

export interface LightOptions {
  readonly nodes: readonly string[]
  /** Of the resource's probe. */
  readonly probe?: Readonly<Record<string, unknown>>
}

export class Stage {
  readonly lab: Lab
  readonly home: string
  readonly #program: string

  /** Those that stand: whoever is interrupted still ends them. */
  static readonly standing = new Set<Stage>()

  static async raise(): Promise<Stage> {
    const home = mkdtempSync(join(tmpdir(), 'qr-'))
    const addresses = names.map((_, at) => `127.86.0.${at + 1}`)
    const port = await freePort(addresses, 7_400)
    const guardianPort = await freePort(addresses, port + 1)
    const apiPort = await freePort(addresses, guardianPort + 1)
    const nodes = names.map((name, at) => ({ name, address: addresses[at] as string, port, guardianPort, apiPort }))
    // What a light resource left is gone with the power, as what lies in the memory of a machine is.
    const withReset = nodes.map((node) => ({ ...node, reset: async () => emptyFolder(join(home, 'light', node.name)) }))
    const lab = await makeLab({ name: 'bench', home, run: join(home, 'run'), nodes: withReset })
    const stage = new Stage(lab, home)
    try {
      await Promise.all([...lab.power.values()].map((supply) => supply.on()))
      await waitFor('the cluster', 120_000, async () => {
        const { body } = await stage.api('GET', '/v1/status')
        return body.quorate === true && (body.nodes as readonly unknown[]).length === names.length
      })
      for (const name of names) await stage.must('PATCH', `/v1/nodes/${name}`, { fencing: lab.fencing(name) })
      // The same node is lost again and again here, which a cluster takes for a node that is not well (settings of quarantine).
      await stage.must('PATCH', '/v1/settings', { fencingMax: 1000, quarantineThreshold: 0 })
      return stage
    } catch (error) {
      await stage.close()
      throw error
    }
  }

  private constructor(lab: Lab, home: string) {
    Stage.standing.add(this)
    this.lab = lab
    this.home = home
    for (const folder of [...names, 'noted']) mkdirSync(join(home, 'light', folder), { recursive: true })
    this.#program = join(home, 'light.sh')
    writeFileSync(this.#program, program)
    chmodSync(this.#program, 0o755)
  }

  power(node: string): Power {
    return this.lab.power.get(node) as Power
  }

  /** At the first node that answers. */
  async api(method: string, path: string, body?: unknown): Promise<Answer> {
    let answer: Answer = { status: 0, body: {}, headers: {} }
    for (const name of ['n2', 'n3', 'n1']) {
      answer = await request(this.lab.url(name), method, path, body, { timeoutMs: 30_000 })
      if (answer.status !== 0 && answer.status !== 503) return answer
    }
    return answer
  }

  must(method: string, path: string, body?: unknown): Promise<void> {
    return waitFor(`${method} ${path}`, 60_000, async () => {
      const { status, body: said } = await this.api(method, path, body)
      if (status >= 400 && status < 500) throw new Error(`${method} ${path}: ${JSON.stringify(said)}`)
      return status >= 200 && status < 300
    })
  }

  /** Groups of one light resource each. */
  async define(groups: readonly string[], options: LightOptions): Promise<void> {
    const left = [...groups]
    const one = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        const call = (method: string): readonly string[] => [this.#program, method, join(this.home, 'light'), name as string]
        const light = {
          type: 'command',
          parameters: { start: call('start'), stop: call('stop'), probe: call('probe') },
          probe: { interval: '10s', timeout: '20s', ...options.probe },
          restart: { max: 1000, window: '1s' },
        }
        await this.must('PUT', `/v1/groups/${name}`, { nodes: options.nodes, resources: { light } })
      }
    }
    await Promise.all(Array.from({ length: askedAtOnce }, one))
  }

  /** By the groups' own files, which cost the cluster nothing to look at. */
  running(node: string): number {
    return readdirSync(join(this.home, 'light', node)).filter((name) => !name.includes('.')).length
  }

  async allRun(count: number, on: readonly string[]): Promise<void> {
    await waitFor(`${count} resources to run`, patience, async () => on.reduce((sum, node) => sum + this.running(node), 0) >= count)
  }

  /** As the cluster itself sees them. */
  allOnline(count: number, except?: string): Promise<void> {
    return waitFor(`${count} groups to be online`, patience, async () => {
      const groups = (await this.api('GET', '/v1/status')).body.groups as
        | readonly { readonly state: string; readonly holders: readonly { readonly node: string }[] }[]
        | undefined
      return groups?.filter(({ state, holders }) => state === 'ONLINE' && holders[0]?.node !== except).length === count
    })
  }

  async remove(groups: readonly string[]): Promise<void> {
    for (const group of groups) await this.must('DELETE', `/v1/groups/${group}`)
    await waitFor('the groups to be gone', patience, async () => {
      const known = (await this.api('GET', '/v1/status')).body.groups as readonly unknown[] | undefined
      return known?.length === 0
    })
    await pause(500)
  }

  /** Every node is here, and none is the matter of a case. */
  nodesWell(): Promise<void> {
    return waitFor('all nodes to be well', 180_000, async () => {
      const nodes = (await this.api('GET', '/v1/status')).body.nodes as
        | readonly { readonly state: string; readonly case: unknown }[]
        | undefined
      return nodes?.length === names.length && nodes.every((node) => node.state === 'ONLINE' && node.case === null)
    })
  }

  async close(): Promise<void> {
    Stage.standing.delete(this)
    await this.lab.close()
    rmSync(this.home, { recursive: true, force: true })
  }
}

export const groupNames = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `g${at + 1}`)

function emptyFolder(folder: string): void {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { force: true })
}

/** Runs `work` on a stage of its own, which is taken down whatever happens. */
export async function onStage<Result>(work: (stage: Stage) => Promise<Result>): Promise<Result> {
  const stage = await Stage.raise()
  try {
    return await work(stage)
  } finally {
    await stage.close()
  }
}
