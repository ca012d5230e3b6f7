/** What the built-in resource types are, as far as decisions need it, and which parameters they take. Parameters of OCF agents are in `ocf-metadata.ts`. */
import { type GroupName, isName, type NodeId, nearestName } from '../../base/index.js'
import { depthsOf, instanceName, type ParameterValue, type ResourceDefinition } from '../cluster/index.js'
import { type BuiltInType, checkTypes, isCheck } from './check-types.js'
import { parseOcfType } from './ocf-call.js'
import { device, expression, given, type ParameterProblem, type ParameterSpecification, path, port, program, text } from './parameters.js'
import { isSystemd, unitProblem } from './systemd-type.js'

export interface ResourceBehaviour {
  /** One foreground process that Quorate keeps: its death is itself the failure, its absence the proof of the stop. */
  readonly kept: boolean
  /** Nothing of it could be left running (a check, a loopback address), or it is others' to stop: it is stopped as soon as it is not wanted. */
  readonly holdsNothing: boolean
  /** The primary role of a copy whose processes are another's: started by promoting, stopped by demoting. */
  readonly isRole: boolean
}

export function behaviourOf(definition: Pick<ResourceDefinition, 'type' | 'parameters' | 'role' | 'operations'>): ResourceBehaviour {
  const { type, parameters, role, operations } = definition
  if (operations === 'none') return { isRole: false, kept: false, holdsNothing: true }
  return {
    isRole: role !== undefined,
    kept: role === undefined && type === 'command' && parameters.run !== undefined,
    holdsNothing: isCheck(type) || (type === 'logical-hostname' && isLoopback(String(parameters.address))),
  }
}

/** The group whose cell a resource acts in, where that is not its own: that of the copy whose role it is. */
export function cellOf({ role }: Pick<ResourceDefinition, 'role'>, node: NodeId): { readonly cellOf?: GroupName } {
  return role === undefined ? {} : { cellOf: instanceName(role.of, node) }
}

/** 127.0.0.0/8 needs no set-up: every address of it is always there, on every node. */
export function isLoopback(address: string): boolean {
  return /^127\./.test(address)
}

/** Whether clients reach the group by it: the first thing to go when the lease has run out. */
export function isAddress(type: string): boolean {
  return type === 'logical-hostname' || type === 'ocf:heartbeat:IPaddr2'
}

const commandParameters = {
  run: { doc: 'The foreground process to keep: a shell command, or a list with the program first.', check: program },
  readyPort: { doc: 'With run: the start is done when this TCP port accepts a connection.', check: port },
  readyHost: { doc: 'Host for readyPort; 127.0.0.1 unless given.', check: text },
  readyLog: {
    doc: 'With run: the start is done when a line that it writes fits this regular expression. With several of these, all must hold.',
    check: expression,
  },
  readyFile: {
    doc: 'With run: the start is done when it has made the file that QUORATE_READY_FILE names; it is removed before each start.',
    check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  },
  readyNotify: {
    doc: 'With run: the start is done when it has said READY=1 to NOTIFY_SOCKET, as services of systemd with Type=notify do.',
    check: (value) => (typeof value === 'boolean' ? undefined : 'must be true or false'),
  },
  stopSignal: {
    doc: 'With run: the signal that asks it to end; SIGTERM unless given.',
    check: (value) =>
      /^SIG(TERM|INT|QUIT|HUP|USR1|USR2|WINCH|KILL)$/.test(String(value))
        ? undefined
        : 'must be one of SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH, SIGKILL',
  },
  start: { doc: 'Starts it and returns.', check: program },
  stop: { doc: 'Stops it and returns.', check: program },
  probe: {
    doc: 'Exit 0: running; 7 or 3: stopped; anything else: failed. With run it is asked too, and both have to say that it is stopped.',
    check: program,
  },
  promote: { doc: 'Of a promotable one: makes the copy that runs the primary, and returns.', check: program },
  demote: { doc: 'Of a promotable one: makes the primary a replica again, and returns.', check: program },
  probeRole: {
    doc: 'Of a promotable one. Exit 8: it is the primary; 0: a replica; 7 or 3: it does not run; anything else: nobody can tell.',
    check: program,
  },
  notify: {
    doc: 'Of one of several copies: told what another one is about to do or has done (QUORATE_NOTIFY_TYPE, _OPERATION, _NODE). What it answers changes nothing.',
    check: program,
  },
  migrateTo: {
    doc: 'Of a group that migrates: sends what runs here to the node QUORATE_MIGRATE_TARGET, and returns when it runs there, and here no more.',
    check: program,
  },
  migrateFrom: {
    doc: 'Of a group that migrates: takes over what has come from QUORATE_MIGRATE_SOURCE, and returns. Exit 0: it runs here.',
    check: program,
  },
  probeDeep: { doc: 'The second depth of checks. Exit 0: all is well; anything else: failed.', check: program },
  actions: {
    doc: 'Commands that people may have run where it runs, by name: POST /v1/groups/{group}/resources/{resource}/actions/{name}.',
    check: (value) =>
      typeof value === 'object' &&
      !Array.isArray(value) &&
      Object.keys(value).every(isName) &&
      Object.values(value).every((one) => one !== '')
        ? undefined
        : 'must map names to shell commands',
  },
  environment: {
    doc: 'Variables for every command.',
    check: (value) =>
      typeof value === 'object' && !Array.isArray(value) && Object.keys(value).every((name) => /^[A-Za-z_]\w*$/.test(name))
        ? undefined
        : 'must map names of variables to strings',
  },
  workingDirectory: { doc: 'Folder in which every command runs.', check: path },
  user: { doc: 'User under whom every command runs (needs root).', check: text },
} satisfies Record<string, ParameterSpecification>

/** Every built-in type with its parameters. */
export const builtInTypes: { readonly [type: string]: BuiltInType } = {
  command: {
    doc: 'A kept foreground process (run), or start, stop and probe commands.',
    parameters: commandParameters,
    checkTogether: checkCommand,
  },
  'logical-hostname': {
    doc: 'An address that moves with the group.',
    parameters: {
      address: {
        required: true,
        doc: 'IPv4 address with prefix length, such as 10.0.0.100/24; 127.0.0.0/8 needs none.',
        check: checkAddress,
      },
      device: { doc: 'Network device; found by the routes unless given.', check: device },
    },
  },
  ...checkTypes,
}

/** Everything wrong with the parameters of a built-in type or a unit; for `ocf:` types only the type's form is checked here. */
export function checkResourceParameters(
  type: string,
  parameters: { readonly [name: string]: ParameterValue },
  operations?: ResourceDefinition['operations'],
): ParameterProblem[] {
  if (type.startsWith('ocf:')) {
    if (parseOcfType(type) !== undefined) return []
    return [
      {
        parameter: 'type',
        detail: `"${type}" does not name an OCF agent`,
        fix: 'write ocf:<provider>:<agent>, such as ocf:heartbeat:nginx',
      },
    ]
  }
  if (isSystemd(type)) {
    const problem = unitProblem(type)
    return problem === undefined ? checkAgainst(type, {}, parameters) : [problem]
  }
  const known = Object.hasOwn(builtInTypes, type) ? builtInTypes[type] : undefined
  if (known === undefined) {
    const nearest = nearestName(type, Object.keys(builtInTypes))
    const fix =
      nearest === undefined
        ? `use one of ${Object.keys(builtInTypes).join(', ')}, ocf:<provider>:<agent>, systemd:<unit>`
        : `did you mean "${nearest}"?`
    return [{ parameter: 'type', detail: `there is no resource type "${type}"`, fix }]
  }
  const problems = checkAgainst(type, known.parameters, parameters)
  const isOnlyProbed = type === 'command' && operations === 'none'
  return [...problems, ...(isOnlyProbed ? checkOnlyProbed(parameters) : (known.checkTogether?.(parameters) ?? []))]
}

/** What a resource asks for beside its parameters that its type does not have. */
export function checkDepthAndLimits(resource: ResourceDefinition): ParameterProblem[] {
  const { type, parameters, probeDeep, limits, promotable, operations } = resource
  const ocf = type.startsWith('ocf:')
  const depths = depthsOf(resource)
  if (operations === 'none') {
    const wrong = isCheck(type)
      ? `type ${type} only looks anyway`
      : promotable === true
        ? 'what is promotable is not only looked at'
        : limits !== undefined
          ? 'limits are of what is started here'
          : resource.files !== undefined
            ? 'files are of what is started here'
            : undefined
    if (wrong !== undefined) return [{ parameter: 'operations', detail: wrong, fix: 'leave one of the two out' }]
  }
  const problems = [...checkRoles(type, parameters, promotable === true)]
  if (probeDeep !== undefined && type !== 'command' && !ocf) {
    problems.push({ parameter: 'probeDeep', detail: `type ${type} has no deep probe`, fix: 'leave probeDeep out' })
  } else if (type === 'command' && (probeDeep === undefined) !== (parameters.probeDeep === undefined)) {
    const lacks = probeDeep === undefined ? 'nothing says how often' : 'no program for it'
    const fix = 'give both the parameter probeDeep, which is the program, and the key probeDeep with its interval'
    problems.push({ parameter: 'probeDeep', detail: `a deep probe is given, but ${lacks}`, fix })
  }
  const levels = depths.map(({ level = 10 }) => level)
  const twice = levels.find((level, at) => levels.indexOf(level) !== at)
  if (problems.length === 0 && twice !== undefined && ocf)
    problems.push({ parameter: 'probeDeep', detail: `two of its depths have level ${twice}`, fix: 'give each a level of its own' })
  if (problems.length === 0 && depths.length > 1 && !ocf)
    problems.push({ parameter: 'probeDeep', detail: `type ${type} has one deep probe`, fix: 'several are of OCF agents' })
  if (depths.some(({ level }) => level !== undefined) && !ocf && problems.length === 0) {
    problems.push({ parameter: 'probeDeep', detail: 'probeDeep.level is of OCF agents only', fix: 'leave it out' })
  }
  if (limits !== undefined && type !== 'command' && !ocf) {
    problems.push(
      isSystemd(type)
        ? {
            parameter: 'limits',
            detail: 'limits of a unit are its own',
            fix: `set MemoryMax=, TasksMax=, CPUQuota= and LimitNOFILE= in the unit`,
          }
        : { parameter: 'limits', detail: `type ${type} has no processes that limits could hold`, fix: 'leave limits out' },
    )
  }
  return problems
}

const roleParameters = ['promote', 'demote', 'probeRole']

function checkRoles(type: string, parameters: ResourceDefinition['parameters'], promotable: boolean): ParameterProblem[] {
  if (type.startsWith('ocf:')) return []
  if (!promotable)
    return given(parameters, ...roleParameters).map((name) => ({
      parameter: name,
      detail: `${name} is of promotable resources`,
      fix: 'give the resource "promotable": true, in a group of mode "scalable", or leave it out',
    }))
  if (type !== 'command') return [{ parameter: 'promotable', detail: `type ${type} has no roles`, fix: 'leave "promotable" out' }]
  return roleParameters
    .filter((name) => parameters[name] === undefined)
    .map((name) => ({ parameter: name, detail: `it is promotable, and ${name} is missing`, fix: `give a ${name} command` }))
}

function checkAgainst(
  type: string,
  specifications: Record<string, ParameterSpecification>,
  parameters: { readonly [name: string]: ParameterValue },
): ParameterProblem[] {
  const problems: ParameterProblem[] = []
  for (const [name, value] of Object.entries(parameters)) {
    const specification = Object.hasOwn(specifications, name) ? specifications[name] : undefined
    if (specification === undefined) {
      const nearest = nearestName(name, Object.keys(specifications))
      const all = Object.keys(specifications)
      const others = all.length === 0 ? 'it takes none: what a unit needs is in its file' : `it takes ${all.join(', ')}`
      const fix = nearest === undefined ? others : `did you mean "${nearest}"?`
      problems.push({ parameter: name, detail: `type ${type} has no parameter "${name}"`, fix })
      continue
    }
    const wrong = specification.check(value)
    if (wrong !== undefined) problems.push({ parameter: name, detail: `${name} ${wrong}` })
  }
  for (const [name, specification] of Object.entries(specifications)) {
    if (specification.required === true && parameters[name] === undefined) {
      problems.push({ parameter: name, detail: `type ${type} needs the parameter "${name}"`, fix: specification.doc })
    }
  }
  return problems
}

function checkCommand(parameters: { readonly [name: string]: ParameterValue }): ParameterProblem[] {
  const methods = ['start', 'stop', 'probe']
  if (parameters.run !== undefined) {
    return given(parameters, 'start', 'stop').map((name) => ({
      parameter: name,
      detail: `${name} does not go with run`,
      fix: 'give either run, or start, stop and probe',
    }))
  }
  const problems: ParameterProblem[] = given(
    parameters,
    'readyPort',
    'readyHost',
    'readyLog',
    'readyFile',
    'readyNotify',
    'stopSignal',
  ).map((name) => ({
    parameter: name,
    detail: `${name} goes with run only`,
    fix: 'give run, or leave it out',
  }))
  if (given(parameters, ...methods).length === 0)
    return [...problems, { parameter: 'run', detail: 'there is nothing to run', fix: 'give run, or start, stop and probe' }]
  for (const name of methods) {
    if (parameters[name] !== undefined) continue
    const why = name === 'probe' ? 'without a probe nobody can prove that it is stopped' : `${name} is missing`
    problems.push({ parameter: name, detail: why, fix: `give a ${name} command, or use run for a foreground process` })
  }
  return problems
}

/** Programs that have others start what they are told to: none of it is in the cgroup of the resource. */
const clients = /\b(docker|nerdctl|systemd-run|machinectl|virsh)\b|\bpodman\b.*\s--remote\b/
const podman = /\bpodman\b[^;&|]*\s(run|start)\b/
const podmanWithin = /--cgroups[= ](disabled|split)\b/

/** What a definition of a command may well mean, and should not: an empty cgroup would prove the end of what was never in it. */
export function commandWarnings({ type, parameters: { run, probe } }: ResourceDefinition): readonly string[] {
  if (type !== 'command' || run === undefined || probe !== undefined) return []
  const text = Array.isArray(run) ? run.join(' ') : String(run)
  const client = clients.exec(text)?.[0] ?? (podman.test(text) && !podmanWithin.test(text) ? 'podman run' : undefined)
  if (client === undefined) return []
  return [
    `what "${client}" starts may not be in the cgroup of the resource, and then its end is not proved: give a probe that can tell, or see docs/containers.md`,
  ]
}

const onlyProbed = ['probe', 'probeDeep', 'actions', 'environment', 'workingDirectory', 'user']

function checkOnlyProbed(parameters: { readonly [name: string]: ParameterValue }): ParameterProblem[] {
  const problems: ParameterProblem[] = Object.keys(parameters)
    .filter((name) => Object.hasOwn(commandParameters, name) && !onlyProbed.includes(name))
    .map((name) => ({
      parameter: name,
      detail: `${name} does not go with "operations": "none"`,
      fix: 'leave it out: nothing is run but probes',
    }))
  if (parameters.probe !== undefined) return problems
  return [...problems, { parameter: 'probe', detail: 'it is only looked at, and nothing says how', fix: 'give a probe command' }]
}

function checkAddress(value: ParameterValue): string | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:\/(\d{1,2}))?$/.exec(String(value))
  if (match === null || match.slice(1, 5).some((part) => Number(part) > 255)) return 'must be an IPv4 address, such as 10.0.0.100/24'
  if (isLoopback(String(value))) return undefined
  const prefix = match[5]
  if (prefix === undefined) return 'needs its prefix length, such as /24'
  return Number(prefix) >= 1 && Number(prefix) <= 32 ? undefined : 'must have a prefix length from 1 to 32'
}
