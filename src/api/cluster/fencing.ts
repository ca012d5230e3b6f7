/** A node's fencing between the form that people write and the one that the log carries. Secrets go in and never come out. */
import { accessSync, constants, readdirSync } from 'node:fs'
import { ClusterError, formatDuration, nearestName, parseDuration } from '../../base/index.js'
import { type FenceDevice, type Fencing, isSealed, storageAgent } from '../../core/cluster/index.js'

/** Shown instead of a secret; sent back it means the one that is known. */
export const hidden = '********'
const secretName = /pass|secret|token|key|community/i
const agentFolder = '/usr/sbin'
const deviceTimeout = 20_000
const timeoutMin = 100
const timeoutMax = 600_000

interface WrittenFencing {
  readonly levels: readonly (readonly WrittenDevice[])[]
  readonly then?: 'on' | 'stay-off'
}
interface WrittenDevice {
  readonly agent: string
  readonly parameters?: Readonly<Record<string, string | number | boolean>>
  readonly timeout?: string | number
}

export interface FencingDoors {
  /** The node that looks whether agents are there. */
  readonly at: string
  /** As the log has it: what was sealed before comes back as it is. */
  readonly seal: (text: string) => string
}

/** `known` is what the node has now. Errors: INVALID, INVALID_DEFINITION. */
export function readFencing(value: unknown, known: Fencing, doors: FencingDoors): Fencing {
  const written = value as WrittenFencing
  const levels = written.levels.map((level, number) =>
    level.map((device, place) => readDevice(device, known.levels[number]?.[place], doors)),
  )
  return { levels, then: written.then ?? 'on' }
}

function readDevice(written: WrittenDevice, known: FenceDevice | undefined, { at, seal }: FencingDoors): FenceDevice {
  checkAgent(written.agent, at)
  const timeout = parseDuration(written.timeout ?? deviceTimeout)
  if (timeout < timeoutMin || timeout > timeoutMax) {
    throw new ClusterError('INVALID', `the timeout of ${written.agent} is ${formatDuration(timeout)}`, {
      fix: `stay between ${formatDuration(timeoutMin)} and ${formatDuration(timeoutMax)}`,
    })
  }
  const parameters = Object.entries(written.parameters ?? {}).map(([name, value]) => {
    if (!/^[\w.-]{1,100}$/.test(name) || name === 'action')
      throw new ClusterError('INVALID', `"${name.slice(0, 80)}" is no parameter of a fence agent`, {
        fix: 'the action is chosen by Quorate',
      })
    const text = String(value)
    // Each parameter is one line of the agent's standard input.
    if (/[\r\n\0]/.test(text)) throw new ClusterError('INVALID', `the parameter ${name} has a line break`, { fix: 'keep it on one line' })
    const isSecret = secretName.test(name)
    if (text !== hidden) return [name, isSecret ? seal(text) : plain(name, text)]
    const kept = known?.agent === written.agent ? known.parameters[name] : undefined
    if (kept === undefined) throw new ClusterError('INVALID', `the parameter ${name} is hidden, and none is known`, { fix: 'write it out' })
    return [name, isSecret ? seal(kept) : kept]
  })
  return { agent: written.agent, parameters: Object.fromEntries(parameters), timeout }
}

function plain(name: string, text: string): string {
  if (isSealed(text)) throw new ClusterError('INVALID', `the parameter ${name} is no password, and begins as a sealed one`)
  return text
}

/** A misspelt agent would be noticed on the day it is needed. */
function checkAgent(agent: string, at: string): void {
  if (agent === storageAgent) return // A shared disk; the state machine knows whether it is there.
  if (!agent.includes('/') && !/^[\w.-]+$/.test(agent))
    throw new ClusterError('INVALID', `"${agent}" cannot name a fence agent`, {
      fix: 'use the name of one, such as fence_ipmilan, or its path',
    })
  if (agent.includes('/') && !agent.startsWith('/'))
    throw new ClusterError('INVALID', `"${agent}" is no absolute path`, { fix: 'write the whole path of the agent' })
  const path = agent.includes('/') ? agent : `${agentFolder}/${agent}`
  try {
    accessSync(path, constants.X_OK)
  } catch {
    const nearest = nearestName(agent, installedAgents())
    throw new ClusterError('INVALID_DEFINITION', `${path} is not there on ${at}, or cannot be run`, {
      fix: nearest === undefined ? 'install the fence agent on every node' : `did you mean "${nearest}"?`,
    })
  }
}

function installedAgents(): readonly string[] {
  try {
    return readdirSync(agentFolder).filter((name) => name.startsWith('fence_'))
  } catch {
    return []
  }
}

export function writtenFencing(fencing: Fencing): Record<string, unknown> {
  return {
    levels: fencing.levels.map((level) =>
      level.map(({ agent, parameters, timeout }) => ({
        agent,
        parameters: Object.fromEntries(Object.entries(parameters).map(([name, value]) => [name, secretName.test(name) ? hidden : value])),
        timeout: formatDuration(timeout),
      })),
    ),
    then: fencing.then,
  }
}
