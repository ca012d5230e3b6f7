/** Shared disks: who stands registered on them, and what follows when a key is gone. */
export { type DiskEffect, type DiskReport, type DiskStanding, type DiskView, DiskWatch } from './disk-watch.js'
export { diskKey } from './key.js'
export * from './orders.js'
