/** One resource on this machine, away from any cluster: its agent's methods by the same code that the monitor runs them with. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BootId, bootInstant, type GroupName, type NodeId, type ResourceName, type Token } from '../base/index.js'
import { depthsOf, type ResourceDefinition } from '../core/cluster/index.js'
import { behaviourOf, type MethodRequest, type MethodResult, ocfEnvironment, type ProcessIdentity } from '../core/monitor/index.js'
import { agentCommands, cellName, markersOf, ocfScratch, openAgents } from '../io/agents/index.js'
import { openClock } from '../io/clock/index.js'
import { type ActionOutcome, type Cell, openContainment, spawnAction } from '../io/processes/index.js'
import { openRunFolder } from '../io/run-folder/index.js'
import { openAttributes, serveAgentCommands } from '../monitor/index.js'

export interface Bench {
  readonly node: NodeId
  /** How the processes of the resource are held together. */
  readonly containment: string
  readonly cell: Cell
  run(method: 'start' | 'stop' | 'probe', how?: { readonly deep?: boolean; readonly token?: number }): Promise<MethodResult>
  /** Begins a method, kills everything of the resource after a while, and waits until that is gone. */
  interrupt(method: 'start' | 'stop', after: number): Promise<MethodResult>
  /** Runs the agent with any action and these parameters. Of OCF agents. */
  call(path: string, action: string, parameters?: ResourceDefinition['parameters']): Promise<ActionOutcome>
  /** Kills everything of the resource. False when something is left. */
  kill(): Promise<boolean>
  /** What agents wrote in files of their own; kept with `keep`. */
  readonly folder: string
  close(keep: boolean): Promise<void>
}

const killMax = 10_000
const leaseMs = 86_400_000

export async function openBench(definition: ResourceDefinition, name: string): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-agent-'))
  const runFolder = openRunFolder(join(folder, 'run'))
  const node = 'here' as NodeId
  const boot = `agent-test-${process.pid}` as BootId
  const group = 'test' as GroupName
  const resource = name as ResourceName
  const clock = openClock()
  const containment = openContainment({ preference: 'auto', key: runFolder.key, node })
  const { place } = containment
  const agents = openAgents(
    { runFolder, logDir: runFolder.folder('log'), clock },
    { onLearnt: () => {}, onEnded: () => {}, onEmptied: () => {}, onChanged: () => {} },
  )
  const commands = await serveAgentCommands({
    path: runFolder.socket('commands'),
    node,
    attributes: openAttributes(runFolder, boot),
    scored: () => undefined,
    noted: () => undefined,
    ask: () => Promise.resolve({ answer: null, problem: 'there is no cluster here' }),
  })
  const cell = containment.cell(cellName({ group, resource }), markersOf({ group, resource }))
  let token = 1
  let processes: readonly ProcessIdentity[] = []

  const request = (method: MethodRequest['method'], more: Partial<MethodRequest> = {}): MethodRequest => {
    const timeout = method === 'stop' ? definition.stop.timeout : method === 'start' ? definition.start.timeout : definition.probe.timeout
    return { group, token: token as Token, node, boot, resource, place, definition, method, timeout, processes, ...more }
  }
  const begin = (method: MethodRequest['method'], more: Partial<MethodRequest> = {}) =>
    agents.begin(
      request(method, more),
      () => bootInstant(clock.boot() + leaseMs),
      (process) => {
        if (behaviourOf(definition).kept) processes = [process]
      },
    )
  const kill = async () => {
    const done = await agents.kill({ group, resource, place }, killMax)
    return done
  }

  return {
    node,
    containment: place.kind,
    cell,
    folder,
    run: async (method, { deep, token: of } = {}) => {
      if (method === 'start') token++
      const [depth] = depthsOf(definition)
      return begin(method, {
        ...(deep === true && depth !== undefined ? { deep: depth } : {}),
        ...(of === undefined ? {} : { token: of as Token }),
      }).result
    },
    interrupt: async (method, after) => {
      const begun = begin(method)
      await new Promise((resolve) => setTimeout(resolve, after))
      await kill()
      return begun.result
    },
    call: async (path, action, parameters = definition.parameters) => {
      const what = { name: action, timeout: definition.probe.timeout, interval: 0, level: 0 }
      const where = { resource, node, token, scratch: ocfScratch(runFolder), commands: agentCommands }
      const environment = {
        LC_ALL: 'C',
        ...ocfEnvironment({ ...definition, parameters }, what, where),
        QUORATE_COMMANDS: runFolder.socket('commands'),
        ...markersOf({ group, resource }),
      }
      const output = { folder: runFolder.folder('output') }
      return spawnAction({ argv: [path, action], environment, cell, part: 'action', output, timeout: definition.probe.timeout }).done
    },
    kill,
    close: async (keep) => {
      await kill()
      agents.close()
      await commands.close()
      containment.remove()
      clock.close()
      if (!keep) rmSync(folder, { recursive: true, force: true })
    },
  }
}
