/** Generators, plans and histories as values: no clock, no I/O, no chance but from a seed. */
export { every, type Generator, limit, mix, type Next, nothing, once, random, sequence, stagger, timetable, until } from './generator.js'
export { type Band, bandsOf, type Completion, type Operation, readHistory, type RunEvent, writeHistory } from './history.js'
export { type FaultKind, planFaults, type PlannedFault, type PlanOptions } from './plan.js'
export { Random, randomOf } from './random.js'
