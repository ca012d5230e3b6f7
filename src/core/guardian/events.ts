/** What happens to the guardian and what it wants done. */
import type { BootInstant, GroupName, Token } from '../../base/index.js'
import type { QuorumLossPolicy } from '../cluster/index.js'
import type { ContainmentPlace, MethodRequest, MethodResult, RunRecord, UnreadableRecord } from '../monitor/index.js'
import type { Detachment, GuardianAnswer, GuardianOrder, GuardianQuery, GuardianState } from './protocol.js'

/** The processes that the guardian keeps running. */
export type KeptRole = 'daemon' | MonitorRole
/** `monitor@<group>` is one that a group has of its own. */
export type MonitorRole = 'monitor' | `monitor@${string}`

/** What the run folder says at this moment. */
export interface RunFolderView {
  /** 0 when nobody knows of any. */
  readonly deadline: BootInstant
  /** Groups with a run record: not proved stopped. */
  readonly open: ReadonlyMap<GroupName, Token>
  readonly seals: ReadonlyMap<GroupName, Token>
  /** Groups that are to have a monitor of their own; none unless given. */
  readonly monitors?: readonly GroupName[]
  /** Of the open groups, what is to be done with them when the lease has run out, where that is not to stop them. */
  readonly policies?: ReadonlyMap<GroupName, QuorumLossPolicy>
  /** False while the folder could never be read: that nothing is open is then no knowledge. True unless given. */
  readonly isKnown?: boolean
}

/** What is left of an emergency stop that an earlier guardian of this boot began. */
export interface EmergencyLeft {
  readonly phase: 'stopping' | 'stopped' | 'cannot-verify'
  readonly tokens: { readonly [group: GroupName]: Token }
  /** The watchdog is to reset the machine: it is fed no more. */
  readonly reset?: true
}

export type GuardianEvent =
  /** First of all, once: who is running already, and what an earlier guardian left. */
  | {
      readonly kind: 'resumed'
      readonly running: readonly KeptRole[]
      readonly emergency: EmergencyLeft | undefined
      readonly detachment?: Detachment
    }
  /** Every 25 ms. */
  | ({ readonly kind: 'looked' } & RunFolderView)
  | { readonly kind: 'process-up'; readonly role: KeptRole }
  /** `refused`: it ended by itself, saying that it cannot run here until somebody has mended what it names in its log. */
  | { readonly kind: 'process-ended'; readonly role: KeptRole; readonly refused?: boolean }
  | { readonly kind: 'daemon-connected' }
  | { readonly kind: 'ordered'; readonly order: GuardianOrder }
  /** `from` is where the answer goes; the core only hands it back. */
  | { readonly kind: 'queried'; readonly query: GuardianQuery; readonly from: unknown }
  /** No monitor and nothing of what it had in flight is left. */
  | { readonly kind: 'monitors-killed'; readonly gone: boolean }
  | { readonly kind: 'records'; readonly readable: readonly RunRecord[]; readonly unreadable: readonly UnreadableRecord[] }
  | { readonly kind: 'method-done'; readonly action: number; readonly result: MethodResult }
  | { readonly kind: 'killed'; readonly action: number; readonly empty: boolean }
  /** Whether all of its processes stand still; where they do not, it is stopped like any other. */
  | { readonly kind: 'frozen'; readonly group: GroupName; readonly token: Token; readonly done: boolean; readonly detail: string }
  | { readonly kind: 'thawed'; readonly group: GroupName; readonly token: Token; readonly done: boolean }
  /** Whether the device has taken what it was fed. Told when that changes. */
  | { readonly kind: 'watchdog'; readonly armed: boolean }
  /** Stop in an orderly way. */
  | { readonly kind: 'terminated' }

export type GuardianEffect =
  | { readonly kind: 'spawn'; readonly role: KeptRole }
  | { readonly kind: 'signal'; readonly role: KeptRole; readonly signal: 'SIGTERM' | 'SIGKILL' }
  | { readonly kind: 'seal'; readonly group: GroupName; readonly token: Token }
  | { readonly kind: 'write-emergency'; readonly reason: string; readonly left: EmergencyLeft }
  | { readonly kind: 'clear-emergency' }
  /** On disk before the daemon is told. */
  | { readonly kind: 'write-detachment'; readonly detachment: Detachment }
  /** Every monitor, and all that it has in flight. Ends as `monitors-killed`. */
  | { readonly kind: 'kill-monitors' }
  /** Ends as `records`. */
  | { readonly kind: 'read-records' }
  | { readonly kind: 'write-record'; readonly record: RunRecord }
  | { readonly kind: 'delete-record'; readonly group: GroupName; readonly token: Token }
  /** As the monitor's. */
  | { readonly kind: 'begin'; readonly action: number; readonly request: MethodRequest }
  | { readonly kind: 'cancel'; readonly action: number }
  | {
      readonly kind: 'kill'
      readonly action: number
      readonly group: GroupName
      readonly resource: MethodRequest['resource']
      readonly place: ContainmentPlace
      /** As of a method. */
      readonly cellOf?: GroupName
      /** Milliseconds. */
      readonly timeout: number
    }
  /** Has the processes of the group stand still, if nothing of it is being started or stopped. Ends as `frozen`; once more does no harm. */
  | { readonly kind: 'freeze'; readonly group: GroupName; readonly token: Token }
  /** Has them go on. Ends as `thawed`. */
  | { readonly kind: 'thaw'; readonly group: GroupName; readonly token: Token }
  | { readonly kind: 'answer'; readonly answer: GuardianAnswer; readonly to: unknown }
  | { readonly kind: 'tell-daemon'; readonly state: GuardianState }
  | { readonly kind: 'log'; readonly text: string }
  /** Opens it first where it is not open. Ends as `watchdog` where that has changed. */
  | { readonly kind: 'feed-watchdog' }
  /** Nothing may run any more: nobody has to be reset. */
  | { readonly kind: 'disarm-watchdog' }
  /** Everything is as it should be left. */
  | { readonly kind: 'exit' }
