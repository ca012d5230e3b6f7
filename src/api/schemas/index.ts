/** What requests may say, and the words that answers use. */
export * from './disks.js'
export * from './documents.js'
export * from './groups.js'
export * from './nodes.js'
export * from './schema.js'
export * from './settings.js'
export * from './store.js'
export * from './tables.js'
