/** The daemon's side of the guardian's socket. Connects again by itself; the guardian then begins with its state. */
import type { GuardianOrder, GuardianState } from '../../core/guardian/index.js'
import { connectLocal } from '../local-socket/index.js'

export interface GuardianLinkListener {
  onState(state: GuardianState): void
  onConnected(): void
  onDisconnected(): void
}

export interface GuardianLink {
  readonly connected: boolean
  /** Dropped while not connected. */
  send(order: GuardianOrder): void
  close(): void
}

/** `path` is `<runDir>/guardian.sock`. The daemon sends `alive` several times a second. */
export function openGuardianLink(path: string, listener: GuardianLinkListener): GuardianLink {
  return connectLocal(path, {
    onMessage: (message) => listener.onState(message as GuardianState),
    onConnected: () => listener.onConnected(),
    onDisconnected: () => listener.onDisconnected(),
  })
}
