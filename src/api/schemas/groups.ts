/** What a person writes about groups. */
import {
  dependencyKinds,
  failoverModes,
  failureActions,
  failureEvents,
  offlineProbeDefault,
  policyDefaults,
  quorumLossPolicies,
  resourceDefaults,
} from '../../core/cluster/index.js'
import { anything, choice, closed, count, duration, later, mapOf, type Schema, text, told } from './schema.js'
import { limitsSchema, probeDeepSchema, probeSchema } from './watching.js'

const { start, stop, restart } = resourceDefaults

const parameter: Schema = {
  type: ['string', 'number', 'boolean', 'array', 'object'],
  description: 'Text, number, true or false, a list of texts, or a map of texts.',
  items: { type: 'string', maxLength: 4_096 },
  additionalProperties: { type: 'string', maxLength: 4_096 },
  maxItems: 1_000,
  maxProperties: 1_000,
  maxLength: 16_384,
}

const dependencySchema: Schema = {
  title: 'Dependency',
  description: 'The name of a resource, or { resource, kind }. A name alone is of kind offlineRestart.',
  type: ['string', 'object'],
  maxLength: 63,
  properties: {
    resource: text('The resource that is needed.', 63),
    kind: {
      ...choice(
        'strong: needed, and this one stays up while that one is restarted in place. weak: order only. restart: as strong, and restarted once that one is up again. offlineRestart: as strong, and brought down before that one is restarted.',
        dependencyKinds,
      ),
      default: 'offlineRestart',
    },
  },
  required: ['resource'],
  additionalProperties: false,
}

export const resourceSchema = closed(
  {
    type: text('The name of a built-in type, ocf:<provider>:<agent>, or systemd:<unit>; GET /v1/types lists them.', 300),
    parameters: mapOf(parameter, 'As GET /v1/types/{type} describes them.', 1_000),
    perNode: mapOf(
      closed({ parameters: mapOf(parameter, 'Beside or instead of the usual ones.', 1_000) }),
      'By node: parameters that are others there, such as the name of a device.',
      64,
    ),
    dependsOn: {
      type: 'array',
      description: 'Resources of the same group that start before this one and stop after it: by name, or with the kind of dependency.',
      items: dependencySchema,
      uniqueItems: true,
      maxItems: 100,
    },
    probe: probeSchema,
    probeDeep: probeDeepSchema,
    limits: limitsSchema,
    start: closed({ timeout: duration('After this it is killed with all its processes.') }, { default: start }),
    stop: closed({ timeout: duration('After this it is killed with all its processes.') }, { default: stop }),
    restart: closed(
      {
        max: count('Restarts in place within the window, before the group moves.', 0, 1_000),
        window: duration('The window.'),
        delay: duration('Pause before a restart in place, doubled for each further failure in the window, up to 1m.'),
      },
      { default: { ...restart, delay: 0 } },
    ),
    operations: {
      ...choice(
        '`onOff`: it is started and stopped. `none`: others do that, and here it is only looked at: its start waits until it is found running, and its stop leaves it.',
        ['onOff', 'none'],
      ),
      default: 'onOff',
    },
    critical: {
      type: 'boolean',
      description: 'False: when its restarts are used up, the group stays where it is without it, and is DEGRADED.',
      default: true,
    },
    promotable: {
      type: 'boolean',
      description:
        'Of a scalable group: one of its copies is the primary, the others are replicas. Its agent has promote and demote; a `command` has promote, demote and probeRole.',
      default: false,
    },
    files: {
      type: 'array',
      description:
        'Absolute paths of files that go with the group: carried along as they change where it runs, and put back before it starts elsewhere.',
      items: { type: 'string', maxLength: 1_024 },
      maxItems: 32,
    },
    onStopFailure: later('What follows a stop that fails.'),
    isolation: later('A monitor of its own is given to the whole group.'),
  },
  { title: 'Resource', description: 'Anything started, stopped and monitored.', required: ['type'] },
)

const ruleSchema = closed(
  {
    event: choice('What happened.', [...failureEvents, 'any']),
    resource: text('Only of this resource.', 63),
    countAtLeast: count('From so many failures of the resource in its restart window on, this one included.', 1, 1_000),
    action: choice(
      'What follows. A restart matches only while restarts are left in the window. `demote` is of primary roles: another copy may get it. `evictNode`: as `standbyNode`, and the node is fenced where a stop fails before that is done.',
      failureActions,
    ),
  },
  { title: 'FailureRule', description: 'What follows a failure; the first rule that matches counts.', required: ['event', 'action'] },
)

const definitionKeys = {
  mode: choice('`failover`: runs on one node. `scalable`: runs on several, one instance each. It does not change.', [
    'failover',
    'scalable',
  ]),
  desired: count('Of a scalable group: how many instances are to run, and never more; one on each of its nodes unless given.', 1, 64),
  notify: {
    type: 'boolean',
    description: 'Of a scalable group: its copies are told before and after each start, stop, promotion and demotion of one of them.',
    default: false,
  },
  migrate: {
    type: 'boolean',
    description:
      'Of a scalable group of one instance: it goes to another node while it runs. Its agents have migrate_to and migrate_from; a `command` has migrateTo and migrateFrom.',
    default: false,
  },
  primary: closed(
    {
      resources: mapOf(
        resourceSchema,
        'What runs only where the primary is, such as its address. They may depend on what is promotable.',
        1_000,
      ),
    },
    { description: 'Of a scalable group with a promotable resource.' },
  ),
  nodes: {
    type: 'array',
    description: 'In order of rank, the preferred one first.',
    items: { type: 'string', maxLength: 63 },
    maxItems: 64,
  },
  priority: { ...count('Larger matters more.', -1_000_000, 1_000_000), default: 0 },
  failback: closed({
    mode: choice('Whether it returns to its preferred node. Others than `never` come with a later version.', [
      'never',
      'immediate',
      'window',
      'manual',
    ]),
  }),
  resources: mapOf(resourceSchema, 'By name.', 1_000),
  intent: choice('Whether it is to run; ONLINE unless it says otherwise.', ['ONLINE', 'OFFLINE']),
  failoverMode: {
    ...choice('What follows a failure that no rule of `rules` is for; GET shows it as rules in `effectiveRules`.', failoverModes),
    default: policyDefaults.failoverMode,
  },
  onStopFailure: {
    ...choice('What follows a stop that cannot be verified. `fence`: its node is cut off; HARD implies it.', ['block', 'fence']),
    default: policyDefaults.onStopFailure,
  },
  rules: { type: 'array', description: 'Asked before those of `failoverMode`.', items: ruleSchema, maxItems: 100 },
  stableAfter: duration('When it has run for so long without a failure, earlier ones no longer count; 10m unless given.'),
  pingpongInterval: duration('How long a node on which it failed is passed over; 1h unless given.'),
  failover: closed(
    {
      max: count('Failovers for failures within the window; 0 is no limit.', 0, 1_000),
      window: duration('The window.'),
      onExhausted: choice(
        '`stop`: it is stopped until it is cleared. `keepTrying`: it goes on all the same. `runDegraded`: it stays where it is, with what runs.',
        ['stop', 'keepTrying', 'runDegraded'],
      ),
    },
    { default: policyDefaults.failover },
  ),
  offlineProbe: closed(
    {
      interval: duration('How often nodes that do not hold it look whether it runs there all the same; 0 is never.'),
      onFound: choice(
        '`stopExtra`: a copy beside that of the holder is stopped. `block`: it is only told. `stopAllRestart`: both are stopped, and then the group is started.',
        ['stopExtra', 'block', 'stopAllRestart'],
      ),
    },
    { default: { interval: '60s', onFound: offlineProbeDefault.onFound } },
  ),
  isolation: {
    ...choice('`dedicated`: it has a monitor process of its own on the node that holds it, from its next start there on.', [
      'shared',
      'dedicated',
    ]),
    default: 'shared',
  },
  onQuorumLoss: {
    ...choice(
      'What a node without a lease does with it. `freeze`: its processes stand still for a part of emergencyStop, and go on if the lease comes back, else they are killed. `demote`, of a group with a primary role: the role ends, and the copies go on as replicas (docs/roles.md). `selfFence`: beside the stop, the watchdog resets the node.',
      ['stop', ...quorumLossPolicies],
    ),
    default: 'stop',
  },
  storage: text(
    'A shared disk on which all of its resources live, and nowhere else: a node that is cut off from it (scsi3) can do nothing for the group any more. Counts from the next start on.',
    63,
  ),
  load: later('What it uses of the capacity of its node.'),
  dependsOn: later('Dependencies between groups.'),
} as const satisfies Record<string, Schema>

export const groupDefinitionSchema = closed(definitionKeys, {
  title: 'GroupDefinition',
  description: 'A group as a person writes it. Defaults are filled in.',
  required: ['nodes', 'resources'],
})

/** What GET answers may be sent back: its definition is taken, the rest was only told. */
export const groupDocumentSchema = closed(
  {
    definition: groupDefinitionSchema,
    intent: definitionKeys.intent,
    revision: count('As read: the change is refused when the group has another one by now.', 0, Number.MAX_SAFE_INTEGER),
    name: told('The name in the path.'),
    state: told('Its state.'),
    holders: told('Who holds it.'),
    waitingFor: told('Why nothing is done although something should be.'),
    resources: told('The state of each resource.'),
    frozen: told('Who froze it, why, and for how long still.'),
    maintenance: told('The maintenance of the node that holds it, or held it last.'),
    lapsed: told('The freeze that ended by itself last.'),
    move: told('Where it is on its way to.'),
    deleting: told('Whether it is being deleted.'),
    failures: told('Failures that are remembered, whether each still counts, and when it will be forgotten.'),
    effectiveRules: told('The whole list of rules in force after a failure.'),
    halted: told('Since when and why it is stopped until it is cleared.'),
    poison: told('Losses of nodes that followed its starts, and whether it rests for them.'),
    failovers: told('How often it left a node for a failure within the window, where that is limited.'),
    bans: told('Nodes tried in vain.'),
    unchanged: told('The change said what was there already.'),
    warnings: told('What was accepted and should be looked at.'),
    proof: told('Why an earlier holder can no longer act.'),
    lastNode: told('Where it last ran.'),
    mode: told('`scalable`; left out where it runs on one node.'),
    desired: told('How many instances are to run.'),
    migration: told('It is on its way to another node while it runs.'),
    primary: told('Who has the primary role.'),
    parts: told('Its instances and its primary role.'),
  },
  { title: 'GroupDocument', description: 'What GET /v1/groups/{group} answers, sent back with changes.', required: ['definition'] },
)

/** Either of the two; which one is told by the key `definition`. */
export const groupPutSchema: Schema = {
  title: 'GroupPut',
  description: 'A GroupDefinition, or what GET answered (a GroupDocument).',
  type: 'object',
  additionalProperties: anything,
}

export const groupPatchSchema: Schema = {
  title: 'GroupPatch',
  description: 'A JSON merge patch (RFC 7396) of the GroupDefinition: null removes a key.',
  type: 'object',
  additionalProperties: anything,
}

export const moveSchema = closed({ to: text('The node it is to run on.', 63) }, { required: ['to'] })

export const freezeKeys = {
  for: duration('How long, from 1s to 30d: it always ends.'),
  owner: text('Who answers for it; as whoever asks is known unless given.', 100),
  reason: text('Why.'),
  probes: {
    ...choice('`pause`: nothing is probed meanwhile either; only the death of processes is noticed.', ['keep', 'pause']),
    default: 'keep',
  },
} as const satisfies Record<string, Schema>

export const freezeSchema = closed(freezeKeys, { title: 'FreezeRequest', required: ['for', 'reason'] })

export const resourceRestartSchema = closed(
  {
    dependents: {
      type: 'boolean',
      description: 'With everything that depends on it, in whatever way; else as each kind of dependency has it.',
      default: false,
    },
  },
  { title: 'ResourceRestartRequest' },
)

export const resourceProbeSchema = closed(
  { deep: { type: 'boolean', description: 'The second depth of checks.', default: false } },
  { title: 'ResourceProbeRequest' },
)

export const resourceActionSchema = closed(
  { timeout: duration('After this it is killed with all its processes; as its agent says, or 60s, unless given; 5m at most.') },
  { title: 'ResourceActionRequest' },
)
