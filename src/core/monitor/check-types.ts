/** Types that only look: nothing of them runs, so they hold nothing and are stopped as soon as they are not wanted. */
import type { ParameterValue } from '../cluster/index.js'
import {
  device,
  duration,
  free,
  given,
  type ParameterProblem,
  type ParameterSpecification,
  path,
  port,
  targets,
  text,
} from './parameters.js'

interface BuiltInType {
  readonly doc: string
  readonly parameters: Record<string, ParameterSpecification>
  /** What is wrong with parameters that do not go together. */
  readonly checkTogether?: (parameters: { readonly [name: string]: ParameterValue }) => ParameterProblem[]
}

const timeout: ParameterSpecification = { doc: 'Time for one attempt, 2s unless given.', check: duration }

export const checkTypes = {
  tcp: {
    doc: 'A check that a TCP port accepts connections.',
    parameters: {
      host: { required: true, doc: 'Name or address.', check: text },
      port: { required: true, doc: 'Port.', check: port },
      timeout,
    },
  },
  http: {
    doc: 'A check that a URL answers.',
    parameters: {
      url: {
        required: true,
        doc: 'http:// or https://',
        check: (value) => (/^https?:\/\/[^\s/]+/.test(String(value)) ? undefined : 'must begin with http:// or https:// and name a host'),
      },
      status: {
        doc: 'Status that is expected; any of 200 to 399 unless given.',
        check: (value) =>
          Number.isInteger(value) && (value as number) >= 100 && (value as number) <= 599 ? undefined : 'must be an HTTP status',
      },
      contains: { doc: 'Text that the body must contain.', check: text },
      timeout,
    },
  },
  process: {
    doc: 'A check that a process runs that others look after. Give pidFile or name.',
    parameters: {
      pidFile: { doc: 'File with its process id in the first line.', check: path },
      name: {
        doc: 'Its name, as /proc/PID/comm has it: at most 15 characters.',
        check: (value) =>
          typeof value === 'string' && /^[^\n]{1,15}$/.test(value)
            ? undefined
            : 'must have 1 to 15 characters: the kernel keeps no more of the name of a process',
      },
      user: { doc: 'With name: only processes of this user, by name or number.', check: user },
    },
    checkTogether: checkProcess,
  },
  file: {
    doc: 'A check that something lies at a path.',
    parameters: {
      path: { required: true, doc: 'Absolute path of a file or folder.', check: path },
      maxAge: { doc: 'It must have been changed within this time.', check: duration },
      contains: { doc: 'It must be a file with this text in its first MiB.', check: text },
    },
  },
  'disk-space': {
    doc: 'A check that a file system has room.',
    parameters: {
      path: { required: true, doc: 'Absolute path of anything on it.', check: path },
      minFree: {
        required: true,
        doc: 'What must be free for ordinary users: a size such as 10GiB, or a share such as 5%.',
        check: free,
      },
    },
  },
  link: {
    doc: 'A check that a network device is up and has carrier.',
    parameters: { device: { required: true, doc: 'Name of the device, such as eth0.', check: device } },
  },
  reachability: {
    doc: 'A check that enough of several places accept TCP connections.',
    parameters: {
      targets: { required: true, doc: 'A list of host:port; an IPv6 address goes in brackets.', check: targets },
      atLeast: {
        doc: 'How many must accept; 1 unless given.',
        check: (value) => (Number.isInteger(value) && (value as number) >= 1 ? undefined : 'must be a whole number from 1 up'),
      },
      timeout,
    },
    checkTogether: checkReachability,
  },
} as const satisfies Record<string, BuiltInType>

export type { BuiltInType }

export function isCheck(type: string): boolean {
  return Object.hasOwn(checkTypes, type)
}

function user(value: ParameterValue): string | undefined {
  if (Number.isInteger(value) && (value as number) >= 0) return undefined
  return typeof value === 'string' && /^[\w.@-]+\$?$/.test(value) ? undefined : 'must be the name or the number of a user'
}

function checkProcess(parameters: { readonly [name: string]: ParameterValue }): ParameterProblem[] {
  const ways = given(parameters, 'pidFile', 'name')
  if (ways.length === 0) return [{ parameter: 'name', detail: 'type process needs pidFile or name', fix: 'say how the process is found' }]
  if (ways.length === 2) return [{ parameter: 'name', detail: 'name does not go with pidFile', fix: 'give one of them' }]
  if (parameters.user === undefined || parameters.name !== undefined) return []
  return [{ parameter: 'user', detail: 'user goes with name only', fix: 'leave it out: a pid file names one process' }]
}

function checkReachability({ targets: list, atLeast }: { readonly [name: string]: ParameterValue }): ParameterProblem[] {
  if (!Array.isArray(list) || typeof atLeast !== 'number' || atLeast <= list.length) return []
  return [{ parameter: 'atLeast', detail: `atLeast is ${atLeast}, of ${list.length} targets`, fix: 'ask for no more than there are' }]
}
