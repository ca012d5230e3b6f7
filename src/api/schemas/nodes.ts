/** What a person writes about nodes, cases and the lead. */
import { freezeKeys } from './groups.js'
import { choice, closed, duration, later, mapOf, type Schema, text } from './schema.js'

const device = closed(
  {
    agent: text(
      'Name of an installed fence agent, such as fence_ipmilan, or the path of one; or scsi3 with the parameter disk: the node is cut off from that shared disk.',
      200,
    ),
    parameters: mapOf(
      { type: ['string', 'number', 'boolean'], maxLength: 4_096 },
      'As the agent takes them on its standard input. Passwords and keys are shown as ******** and kept when sent back so.',
      100,
    ),
    timeout: duration('Time for one call; 20s unless given.'),
  },
  { title: 'FenceDevice', required: ['agent'] },
)

export const fencingSchema = closed(
  {
    levels: {
      type: 'array',
      description: 'Tried in order; every device of a level must confirm.',
      maxItems: 8,
      items: { type: 'array', minItems: 1, maxItems: 8, items: device },
    },
    then: choice('What follows a confirmed power-off; on unless given.', ['on', 'stay-off']),
  },
  { title: 'Fencing', description: 'How this node is cut off when it is lost.', required: ['levels'] },
)

const attribute: Schema = { type: ['string', 'null'], maxLength: 1_000 }

export const nodePatchSchema = closed(
  {
    fencing: { ...fencingSchema, type: ['object', 'null'] },
    attributes: mapOf(attribute, 'Texts about the node; null removes one.', 200),
    capacity: later('What the node offers.'),
    limits: later('Hard limits.'),
    zone: later('Where the node stands.'),
    links: later('The links are in the node’s own file.'),
  },
  { title: 'NodePatch', description: 'A JSON merge patch of a node.' },
)

/** A node in a whole configuration. */
export const nodeDocumentSchema = closed(
  { fencing: fencingSchema, attributes: mapOf({ type: 'string', maxLength: 1_000 }, 'Texts about the node.', 200) },
  { title: 'NodeDocument' },
)

export const fenceSchema = closed(
  { node: text('The name of the node, typed again.', 63), reason: text('Why.') },
  { title: 'FenceRequest', required: ['node', 'reason'] },
)

export const acknowledgeSchema = closed(
  { node: text('The name of the node, typed again: you state that it is off.', 63), reason: text('How you know.') },
  { title: 'Acknowledgement', required: ['node', 'reason'] },
)

export const clearSchema = closed({ reason: text('Why; needed where it is in quarantine, which ends by this.') }, { title: 'ClearRequest' })

export const releaseBrakesSchema = closed({ reason: text('Why; for the record.') }, { title: 'BrakesRelease', required: ['reason'] })

export const leaveSchema = closed(
  { reason: text('Why; for the record.'), anyway: { type: 'boolean', description: 'Also where the voters left would be no quorum.' } },
  { title: 'LeaveRequest' },
)

export const stopSchema = closed(
  { cluster: text('The name of the cluster, typed: all of it stops.', 63), reason: text('Why; for the record.') },
  { title: 'StopRequest', required: ['cluster'] },
)

export const maintenanceSchema = closed(
  {
    ...freezeKeys,
    detached: {
      type: 'boolean',
      description: 'The guardian is suspended too: what runs there goes on without a lease, also while Quorate is stopped.',
      default: false,
    },
    end: { type: 'boolean', description: 'It ends now; goes with nothing else.' },
  },
  { title: 'MaintenanceRequest', description: 'Either `for` and `reason`, or `end`.' },
)

export const inviteSchema = closed(
  {
    node: text('The name that the new node will have.', 63),
    role: choice('A learner receives the log and does not vote; voter unless given.', ['voter', 'learner']),
    for: duration('How long the invitation is valid; an hour unless given.'),
  },
  { title: 'Invitation', required: ['node'] },
)

export const transferSchema = closed({ to: text('The node that is to lead.', 63) }, { required: ['to'] })
