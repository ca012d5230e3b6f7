/** What every method and every service finds in its environment: nothing inherited, our markers, the grant. */
import { agentPath, type MethodRequest } from '../../core/monitor/index.js'
import { methodMarker, runMarker } from '../processes/index.js'
import type { RunFolder } from '../run-folder/index.js'

export const safePath = agentPath

/** `extra` comes from the type or the administrator; it can add to ours and change the path, but not our own variables. */
export function methodEnvironment(
  request: InCell & Pick<MethodRequest, 'token' | 'node' | 'boot'> & { readonly method: string },
  runFolder: RunFolder,
  extra: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return {
    PATH: safePath,
    LC_ALL: 'C',
    ...extra,
    QUORATE_GRANT_TOKEN: String(request.token),
    QUORATE_NODE: request.node,
    QUORATE_BOOT: request.boot,
    ...markersOf(request),
    QUORATE_CHECKPOINT_DIR: runFolder.folder('checkpoints', request.group, request.resource),
    [runMarker]: runFolder.key,
    // A service is known as what was started, also to the sweep that must not touch it when it ends a probe.
    [methodMarker]: request.method,
  }
}

/** From which node to which it goes, as `…source` and `…target`; nothing where it goes nowhere. */
export function migrationEnvironment({ method, node, peer }: MethodRequest, prefix: string): Record<string, string> {
  if (peer === undefined) return {}
  const [source, target] = method === 'migrate' ? [node, peer] : [peer, node]
  return prefix === prefix.toUpperCase()
    ? { [`${prefix}SOURCE`]: source, [`${prefix}TARGET`]: target }
    : { [`${prefix}source`]: source, [`${prefix}target`]: target }
}

/** What says in which cell something of a resource runs. */
export type InCell = Pick<MethodRequest, 'group' | 'resource' | 'cellOf'>

export function markersOf({ group, resource, cellOf = group }: InCell) {
  return { QUORATE_GROUP: cellOf, QUORATE_RESOURCE: resource }
}

/** Names may hold dots, but no `@`: `a.b` of `c` and `a` of `b.c` are two cells. */
export const cellName = ({ group, resource, cellOf = group }: InCell) => `${cellOf}@${resource}`
