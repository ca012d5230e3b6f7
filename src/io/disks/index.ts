/** Sessions with shared disks. */

export { type Disks, type DisksListener, type OpenDisk, openDisks } from './disks.js'
export { readInitiatorName } from './initiator.js'
