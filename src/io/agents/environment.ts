/** What every method and every service finds in its environment: nothing inherited, our markers, the grant. */
import { agentPath, type MethodRequest } from '../../core/monitor/index.js'
import { methodMarker, runMarker } from '../processes/index.js'
import type { RunFolder } from '../run-folder/index.js'

export const safePath = agentPath

/** `extra` comes from the type or the administrator; it can add to ours and change the path, but not our own variables. */
export function methodEnvironment(
  request: Pick<MethodRequest, 'group' | 'resource' | 'token' | 'node' | 'boot'> & { readonly method: string },
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

export function markersOf(request: Pick<MethodRequest, 'group' | 'resource'>) {
  return { QUORATE_GROUP: request.group, QUORATE_RESOURCE: request.resource }
}

/** Names may hold dots, but no `@`: `a.b` of `c` and `a` of `b.c` are two cells. */
export const cellName = (request: Pick<MethodRequest, 'group' | 'resource'>) => `${request.group}@${request.resource}`
