/** How an OCF agent is called: where it lies, and what it finds in its environment (OCF 1.1 resource agent API, "parameter passing"). */
import type { ParameterValue, ResourceDefinition } from '../cluster/index.js'
import { exitReasonPrefix } from './ocf-status.js'

export interface OcfAgentName {
  readonly provider: string
  readonly agent: string
}

/** `ocf:heartbeat:nginx`; undefined for anything that could leave the agents' folder. */
export function parseOcfType(type: string): OcfAgentName | undefined {
  const match = /^ocf:([A-Za-z0-9][\w-]*):([A-Za-z0-9][\w.-]*)$/.exec(type)
  return match === null ? undefined : { provider: match[1] as string, agent: match[2] as string }
}

const ocfRoot = '/usr/lib/ocf'

/** Where an agent's program lies; undefined for a type that names none. */
export function ocfAgentPath(type: string): string | undefined {
  const name = parseOcfType(type)
  return name === undefined ? undefined : `${ocfRoot}/resource.d/${name.provider}/${name.agent}`
}

/** Some agents compare it: that of the manager whose calls they know. */
export const crmFeatureSet = '3.16.2'

/** What every action of an agent finds in its environment, its metadata included. */
export function ocfBaseEnvironment(type: string): Record<string, string> {
  const name = parseOcfType(type)
  return {
    OCF_ROOT: ocfRoot,
    OCF_RA_VERSION_MAJOR: '1',
    OCF_RA_VERSION_MINOR: '1',
    OCF_RESOURCE_PROVIDER: name?.provider ?? '',
    OCF_RESOURCE_TYPE: name?.agent ?? '',
    OCF_EXIT_REASON_PREFIX: exitReasonPrefix,
    // With no log file, what the agents have to say goes to standard error, where we want it.
    HA_LOGFACILITY: 'none',
    HA_debug: '0',
  }
}

/** The program that prints an agent's metadata, as a `call` order has it. Undefined for a type that names no agent. */
export function ocfMetadataCall(type: string): OcfCall | undefined {
  const path = ocfAgentPath(type)
  return path === undefined ? undefined : { argv: [path, 'meta-data'], environment: ocfBaseEnvironment(type) }
}

export interface OcfCall {
  readonly argv: readonly string[]
  readonly environment: Record<string, string>
}

export interface OcfAction {
  /** As the agent calls it, such as `monitor`. */
  readonly name: string
  /** Milliseconds. */
  readonly timeout: number
  /** Of a monitor that is repeated; 0 for one that only asks. */
  readonly interval: number
  /** Of a monitor; 0 is the usual depth. */
  readonly level: number
}

/** Where an action is run, and for whom. */
export interface OcfPlace {
  readonly resource: string
  readonly node: string
  /** 0 for what was never granted here. */
  readonly token: number
  /** Folder for what agents note down between two actions; of this node alone, and gone with its boot. */
  readonly scratch: string
  /** Folder of the commands that agents call to ask their cluster manager. */
  readonly commands?: string
}

/** The whole environment of one action of a resource. */
export function ocfEnvironment(
  {
    type,
    parameters,
    start,
    stop,
    copy,
    promotable,
  }: Pick<ResourceDefinition, 'type' | 'parameters' | 'start' | 'stop' | 'copy' | 'promotable'>,
  action: OcfAction,
  place: OcfPlace,
): Record<string, string> {
  const given = Object.entries(parameters).map(([key, value]) => [`OCF_RESKEY_${key}`, ocfText(value)] as const)
  return {
    ...ocfBaseEnvironment(type),
    OCF_RESOURCE_INSTANCE: place.resource,
    // A bare OCF_CHECK_LEVEL would be overwritten with 0 by the agents' own functions.
    OCF_RESKEY_OCF_CHECK_LEVEL: '0',
    ...Object.fromEntries(given),
    ...(action.level === 0 ? {} : { OCF_RESKEY_OCF_CHECK_LEVEL: String(action.level) }),
    OCF_RESKEY_crm_feature_set: crmFeatureSet,
    OCF_RESKEY_CRM_meta_name: action.name,
    OCF_RESKEY_CRM_meta_timeout: String(action.timeout),
    OCF_RESKEY_CRM_meta_interval: String(action.interval),
    OCF_RESKEY_CRM_meta_start_timeout: String(start.timeout),
    OCF_RESKEY_CRM_meta_stop_timeout: String(stop.timeout),
    OCF_RESKEY_CRM_meta_on_node: place.node,
    OCF_RESKEY_CRM_meta_on_node_uuid: place.node,
    OCF_RESKEY_CRM_meta_quorate_grant_token: String(place.token),
    ...(copy === undefined ? {} : cloneEnvironment(copy.max, promotable === true)),
    HA_RSCTMP: place.scratch,
    // Some hand their words to a shell of this name, and need what only that one can.
    SHELL: '/bin/bash',
    ...(place.commands === undefined ? {} : { HA_SBIN_DIR: place.commands, PATH: `${place.commands}:${agentPath}` }),
  }
}

/** By which agents know that they are one of several copies, and may have two roles (Pacemaker's clone options). */
function cloneEnvironment(max: number, promotable: boolean): Record<string, string> {
  const roles = promotable
    ? {
        OCF_RESKEY_CRM_meta_promotable: 'true',
        OCF_RESKEY_CRM_meta_promoted_max: '1',
        OCF_RESKEY_CRM_meta_promoted_node_max: '1',
        OCF_RESKEY_CRM_meta_master_max: '1',
        OCF_RESKEY_CRM_meta_master_node_max: '1',
      }
    : {}
  return {
    OCF_RESKEY_CRM_meta_clone: '0',
    OCF_RESKEY_CRM_meta_clone_max: String(max),
    OCF_RESKEY_CRM_meta_clone_node_max: '1',
    OCF_RESKEY_CRM_meta_globally_unique: 'false',
    ...roles,
  }
}

/** Where agents look for programs. */
export const agentPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

function ocfText(value: ParameterValue): string {
  if (Array.isArray(value)) return value.join(' ')
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  return String(value)
}
