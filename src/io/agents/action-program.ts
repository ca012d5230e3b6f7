/** An action of a resource as a program: with what every method of the resource finds, the grant among it. */
import { type MethodRequest, ocfAgentPath, ocfEnvironment } from '../../core/monitor/index.js'
import type { RunFolder } from '../run-folder/index.js'
import { argvOf, commandOptions } from './command-line.js'
import { agentCommands } from './commands-folder.js'
import { methodEnvironment } from './environment.js'
import { ocfScratch } from './ocf.js'

export interface ActionProgram {
  readonly argv: readonly string[]
  readonly environment: Record<string, string>
  readonly workingDirectory?: string
  readonly user?: string
}

type Of = Pick<MethodRequest, 'group' | 'resource' | 'token' | 'node' | 'boot' | 'definition'>

/** Undefined where the resource has no such action, or its type none. `timeout` in milliseconds. */
export function actionProgram(
  of: Of,
  action: string,
  timeout: number,
  runFolder: RunFolder,
  more: Readonly<Record<string, string>> = {},
): ActionProgram | undefined {
  const { definition, resource, node, token } = of
  const { type, parameters } = definition
  const request = { ...of, method: 'action' }
  if (type.startsWith('ocf:')) {
    const path = ocfAgentPath(type)
    if (path === undefined) return undefined
    const place = { resource, node, token, scratch: ocfScratch(runFolder), commands: agentCommands }
    const known = ocfEnvironment(definition, { name: action, timeout, interval: 0, level: 0 }, place)
    const environment = methodEnvironment(request, runFolder, { ...known, ...more, QUORATE_COMMANDS: runFolder.socket('commands') })
    return { argv: [path, action], environment }
  }
  const { actions } = parameters
  if (type !== 'command' || typeof actions !== 'object' || Array.isArray(actions)) return undefined
  const command = Object.entries(actions).find(([name]) => name === action)?.[1]
  if (command === undefined) return undefined
  const { environment, ...options } = commandOptions(parameters)
  return { argv: argvOf(String(command)), environment: methodEnvironment(request, runFolder, environment), ...options }
}

/** What is told to a copy; undefined where its type has no way to be told. */
export function notifyProgram(
  of: Of,
  environment: Readonly<Record<string, string>>,
  timeout: number,
  runFolder: RunFolder,
): ActionProgram | undefined {
  const { type, parameters } = of.definition
  if (type.startsWith('ocf:')) return actionProgram(of, 'notify', timeout, runFolder, environment)
  if (type !== 'command' || parameters.notify === undefined) return undefined
  const { environment: own, ...options } = commandOptions(parameters)
  const said = Object.fromEntries(
    Object.entries(environment).map(([name, value]) => [
      name.replace('OCF_RESKEY_CRM_meta_notify', 'QUORATE_NOTIFY').toUpperCase(),
      value.trim(),
    ]),
  )
  return {
    argv: argvOf(parameters.notify),
    environment: methodEnvironment({ ...of, method: 'action' }, runFolder, { ...own, ...said }),
    ...options,
  }
}
