/** Generators, plans and histories as values: no clock, no I/O, no chance but from a seed. */
export { every, type Generator, limit, mix, type Next, nothing, once, random, sequence, stagger, timetable, until } from './generator.js'
export { type Band, bandsOf, type Completion, type Operation, type RunEvent, readHistory, writeHistory } from './history.js'
export { type FaultKind, type PlannedFault, type PlanOptions, planFaults } from './plan.js'
export { Random, randomOf } from './random.js'
