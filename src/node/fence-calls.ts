/** Calls of fence devices as the monitor carries them out: the agent's program, and what it reads on its standard input. */
import type { NodeId } from '../base/index.js'
import type { DeviceCall } from '../core/arbiter/index.js'
import { type ClusterState, nodesOf, storageAgent } from '../core/cluster/index.js'
import type { MonitorOrder } from '../core/monitor/index.js'

type Program = Extract<MonitorOrder, { kind: 'ready' }>['programs'][number]

/** More are never kept ready on one node. */
const readyMax = 8

/** `open` opens what is sealed. */
export function deviceOrder(call: DeviceCall, open: (text: string) => string): Extract<MonitorOrder, { kind: 'call' }> {
  const lines = [...Object.entries(call.parameters), ['action', call.action]].map(([key, value]) => `${key}=${open(value ?? '')}\n`)
  return {
    kind: 'call',
    callId: call.callId,
    ...fenceProgram(call.agent),
    input: lines.join(''),
    hold: call.hold,
    timeout: call.timeout,
  }
}

/**
 * Programs that this node would call first if another were lost, each as often as one case takes it: a power-off and the reading after
 * it, of every device of a first level. Not those that are told nothing: the end of their input would be their order.
 */
export function programsKeptReady(state: ClusterState, self: NodeId): readonly Program[] {
  const wanted = new Map<string, number>()
  for (const { name, fencing } of nodesOf(state)) {
    if (name === self) continue
    const own = new Map<string, number>()
    for (const { agent, parameters } of fencing.levels[0] ?? [])
      if (agent !== storageAgent && Object.keys(parameters).length > 0) own.set(agent, (own.get(agent) ?? 0) + 2)
    for (const [agent, count] of own) wanted.set(agent, Math.max(count, wanted.get(agent) ?? 0))
  }
  let left = readyMax
  return [...wanted].flatMap(([agent, count]) => {
    const taken = Math.min(count, left)
    left -= taken
    return taken === 0 ? [] : [{ ...fenceProgram(agent), count: taken }]
  })
}

export function fenceProgram(agent: string): Pick<Program, 'argv' | 'environment'> {
  return { argv: [agent.includes('/') ? agent : `/usr/sbin/${agent}`], environment: { PYTHONWARNINGS: 'ignore' } }
}
