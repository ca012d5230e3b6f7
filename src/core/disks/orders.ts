/** What is asked of a shared disk, and what it answers: persistent reservations (SPC-4 §5.12), one request at a time. */
import type { DiskName } from '../../base/index.js'

/** 64 bits in hexadecimal, sixteen digits. */
export type DiskKey = string

/**
 * Exclusive Access, Registrants Only: nobody without a key reads or writes. Whoever takes the holder's key away holds it in its
 * place, in one step. Not the all-registrants kind: where the registrant that made it is taken away, tgt forgets what it is.
 */
export const exclusiveAccess = 6

export type DiskRequest =
  | { readonly do: 'keys'; readonly key: DiskKey }
  | { readonly do: 'reservation' }
  | { readonly do: 'register' | 'unregister' | 'clear'; readonly key: DiskKey }
  | { readonly do: 'reserve'; readonly key: DiskKey; readonly type: number }
  | { readonly do: 'preempt' | 'preempt-abort'; readonly key: DiskKey; readonly victim: DiskKey; readonly type: number }

/** Answered once, whatever happens, and no later than `timeout` milliseconds. */
export interface DiskOrder {
  readonly disk: DiskName
  readonly id: string
  readonly request: DiskRequest
  readonly timeout: number
}

export interface DiskAnswer {
  readonly disk: DiskName
  readonly id: string
  /**
   * `conflict`: who asks is not registered, or the key is not there. `attention`: somebody acted meanwhile; look before
   * anything is repeated. `refused`: the disk does not know the request. `failed`: there is no session, or it was lost with
   * this request, whose outcome is not known.
   */
  readonly status: 'good' | 'conflict' | 'attention' | 'refused' | 'error' | 'failed'
  readonly detail: string
  /** Another one for each session with the disk: a lost session is a lost registration. */
  readonly session: string
  /** Of `keys`: those that are registered, duplicates among them; counts registrations and preempts. */
  readonly keys?: readonly DiskKey[]
  readonly generation?: number
  /** Of `keys`: the key that was asked with stands, and by this session. */
  readonly mine?: boolean
  /** Of `reservation`. */
  readonly reservation?: { readonly key: DiskKey; readonly type: number } | null
}

/** How this node reaches a disk. */
export type DiskPlace =
  | {
      readonly kind: 'iscsi'
      readonly url: string
      readonly user?: string
      readonly password?: string
    }
  | { readonly kind: 'device'; readonly path: string }
