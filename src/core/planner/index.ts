/** What to do about each group: one pure function of the committed state and who is alive. */
export { type CandidateInput, decideGroup, type GroupInput, pingPongInterval, plannerVersion, table } from './plan.js'
export { decide, groupInput, groupInputs, type Liveness, type PlannerView } from './view.js'
