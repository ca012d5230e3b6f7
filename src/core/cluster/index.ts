/** The replicated database: what the log says about nodes, groups, grants, proofs and everything else. */
export * from './definition.js'
