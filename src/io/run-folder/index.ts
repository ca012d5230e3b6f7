/** The run folder: deadline, run records, seals and pids, where they outlive the processes that wrote them. */
export { readChecked, writeChecked } from './atomic-file.js'
export { type BootIdSource, readBootId } from './boot-id.js'
export type { LeaseWriter } from './lease-file.js'
export { agentNotes, type EmergencyMarker, openRunFolder, type ProcessRole, type RunFolder } from './run-folder.js'
export type { RunRecords } from './run-records.js'
export { namesIn, type Seals } from './seals.js'
export type { UnitNote, UnitNotes } from './unit-notes.js'
