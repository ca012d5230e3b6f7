/** A whole configuration. */
import { diskDefinitionSchema } from './disks.js'
import { groupDefinitionSchema } from './groups.js'
import { nodeDocumentSchema } from './nodes.js'
import { closed, mapOf, revision, text } from './schema.js'
import { settingsSchema } from './settings.js'

export const configurationSchema = closed(
  {
    settings: settingsSchema,
    nodes: mapOf(nodeDocumentSchema, 'By name; nodes that are not listed stay as they are.', 64),
    disks: mapOf(diskDefinitionSchema, 'By name; shared disks that are not listed stay as they are.', 64),
    groups: mapOf(groupDefinitionSchema, 'By name; groups that are not listed stay as they are, unless `prune` is set.'),
    prune: {
      type: 'boolean',
      description: 'Groups that are not listed are stopped and deleted, settings that are not listed return to the profile.',
    },
    ifRevision: revision('Refused when the configuration has another revision.'),
    planHash: text('From POST /v1/plan: refused when the same document would now lead to something else.', 64),
  },
  { title: 'Configuration', description: 'Applied all or nothing.' },
)
