/** Floor 0, words: identifiers, time, errors, invariants, sizes, settings, the binary form. */
export * from './codec.js'
export * from './crc32c.js'
export * from './errors.js'
export * from './ids.js'
export * from './invariant.js'
export * from './settings.js'
export * from './sizes.js'
export * from './time.js'
