/** Shared disks: who stands registered on them, and what follows when a key is gone. */
export * from './orders.js'
