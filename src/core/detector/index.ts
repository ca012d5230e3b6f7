/** Who is alive: heartbeats and leases. */
export { Detector, type DetectorReport, type LinkReport, type Stage, type Transition } from './detector.js'
export { LeaseGiver, LeaseHolder, type Renewal } from './lease.js'
