/** What to do about each group: one pure function of the committed state and who is alive. */
export { dueEnds } from './ends.js'
export { rulesOf } from './failure-input.js'
export { decideGroup, plannerVersion } from './plan.js'
export { type CandidateInput, type GroupInput, table } from './verdict.js'
export { decide, groupInput, groupInputs, type Liveness, type PlannerView } from './view.js'
