/** Of a case that a recovery opened: leases and guardians of the time before say nothing about it. */
export const recoveredTrigger = 'the cluster was recovered without it'
