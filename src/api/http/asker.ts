/** How whoever asks is known. Without keys that is only where the request came from. */
import type { Access } from '../cluster/access.js'

/** `isLocal`: it came through the unix socket, which only its owner may open. */
export function askerOf(access: Access, isLocal: boolean, remoteAddress: string | undefined): string {
  const { node } = access.daemon.config
  return isLocal ? `the local socket of ${node}` : `${remoteAddress ?? 'somebody'} without a key, at ${node}`
}
