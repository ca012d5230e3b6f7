/**
 * The identifiers of the cluster, each with a brand of its own so that they cannot be mixed up.
 *
 * Brands are made where data enters (a decoder, the configuration, a route) and trusted after that.
 */
import { ClusterError } from './errors.js'
import { invariant } from './invariant.js'

declare const brand: unique symbol
type Brand<Value, Name extends string> = Value & { readonly [brand]: Name }

/** Identity of one cluster, minted once at formation. */
export type ClusterId = Brand<string, 'ClusterId'>
/** A node's name. It stays when the machine or its disk is replaced. */
export type NodeId = Brand<string, 'NodeId'>
/** One life of a data folder: what Raft knows. Never reused; a node with an empty disk gets a new one. */
export type MemberId = Brand<string, 'MemberId'>
/** One start of a node's kernel (or, where nodes share a kernel, one start by the node's power device). */
export type BootId = Brand<string, 'BootId'>
/** Boot and a daemon counter, used only to order messages. */
export type SessionId = Brand<string, 'SessionId'>
/** Election term (Raft §5.1). Starts at 0 and only grows. */
export type Term = Brand<number, 'Term'>
/** Position in the log. The first entry is 1; 0 means "before the first entry". */
export type LogIndex = Brand<number, 'LogIndex'>
/** Number of a grant: `epoch × 2^40 + log index`. Only grows. */
export type Token = Brand<number, 'Token'>
/** Names one request so that a retry is recognised. */
export type RequestId = Brand<string, 'RequestId'>
/** Name of a failover group. */
export type GroupName = Brand<string, 'GroupName'>
/** Name of a resource within its group. */
export type ResourceName = Brand<string, 'ResourceName'>
/** Name of a shared disk. */
export type DiskName = Brand<string, 'DiskName'>
/** One suspected node's story. */
export type CaseId = Brand<string, 'CaseId'>

export function term(value: number): Term {
  invariant(Number.isSafeInteger(value) && value >= 0, 'a term is a whole number from 0 up', { value })
  return value as Term
}

export function logIndex(value: number): LogIndex {
  invariant(Number.isSafeInteger(value) && value >= 0, 'a log index is a whole number from 0 up', { value })
  return value as LogIndex
}

const tokenEpochSpan = 2 ** 40

/** The token of a grant that stands at `index` in the log of `epoch`. */
export function tokenAt(epoch: number, index: LogIndex): Token {
  invariant(index < tokenEpochSpan, 'an epoch has fewer than 2^40 entries', { index })
  return (epoch * tokenEpochSpan + index) as Token
}

const namePattern = /^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/i

/**
 * Whether `value` may name a node, group or resource: 1–63 letters, digits, `.`, `_`, `-`, no punctuation at the ends.
 * Words that every JavaScript object knows (`constructor`) are no names: rows are kept in plain objects by name.
 */
export function isName(value: string): boolean {
  return namePattern.test(value) && !(value in {})
}

/** As `isName`; or a part of a scalable group, which nobody writes: its name, a colon, and a node or `primary`. */
export function isGroupName(value: string): boolean {
  const parts = value.split(':')
  return parts.length <= 2 && parts.every(isName)
}

/** The group that a part is of, by its name; itself where it stands alone. */
export function wholeOf(group: string): GroupName {
  return group.split(':')[0] as GroupName
}

function named<Name extends string>(value: string, what: string): Brand<string, Name> {
  if (!isName(value)) {
    throw new ClusterError('INVALID_NAME', `"${value.slice(0, 80)}" cannot name a ${what}`, {
      fix: 'use 1 to 63 letters, digits, dots, dashes or underscores, beginning and ending with a letter or digit',
    })
  }
  return value as Brand<string, Name>
}

/** Errors: INVALID_NAME. */
export const nodeId = (value: string): NodeId => named(value, 'node')
/** Errors: INVALID_NAME. */
export const groupName = (value: string): GroupName => named(value, 'group')
/** Errors: INVALID_NAME. */
export const resourceName = (value: string): ResourceName => named(value, 'resource')
/** Errors: INVALID_NAME. */
export const diskName = (value: string): DiskName => named(value, 'shared disk')
