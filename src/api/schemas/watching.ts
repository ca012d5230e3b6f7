/** What a person writes about how a resource is watched and what it may use. */
import { resourceDefaults } from '../../core/cluster/index.js'
import { closed, count, duration, type Schema } from './schema.js'

const { probe } = resourceDefaults

export const probeSchema = closed(
  {
    interval: duration('Time between two checks.'),
    timeout: duration('Time for one check.'),
    failAfter: closed(
      {
        failures: count('So many must have failed.', 1, 100),
        of: count('Of the last so many; as many as `failures` unless given.', 1, 100),
      },
      { description: 'When failed checks are the failure of the resource: at the first unless given.', required: ['failures'] },
    ),
    timeouts: count('So many checks in a row that take too long are its failure; 1 unless given.', 1, 100),
  },
  { default: probe },
)

const depthSchema = closed(
  {
    interval: duration('Time between two of them.'),
    timeout: duration('Time for one of them; as `probe` has it by default unless given.'),
    level: count('For OCF agents: the OCF_CHECK_LEVEL; 10 unless given.', 1, 1_000),
  },
  { required: ['interval'] },
)

export const probeDeepSchema: Schema = {
  ...depthSchema,
  description:
    'The second depth of checks, for `command` and OCF agents; off unless given. Of OCF agents a list too, each with a level of its own.',
  type: ['object', 'array'],
  items: depthSchema,
  minItems: 1,
  maxItems: 5,
}

const size: Schema = {
  type: ['string', 'integer'],
  description: 'Memory of all its processes together: a size such as "512MiB", or whole bytes.',
  examples: ['512MiB'],
}

export const limitsSchema = closed(
  {
    memory: size,
    tasks: count('Processes and threads.', 1, 4_194_304),
    cpu: { type: 'number', description: 'Processors, such as 1.5.', minimum: 0.01, maximum: 4_096 },
    openFiles: count('Open files of each process.', 16, 1_073_741_816),
  },
  { description: 'What a `command` or OCF resource may use. Where nothing can hold a limit, the detail of the resource says so.' },
)
