/** Words that answers use, each with its meaning: the tables of the OpenAPI description. */

export const groupStates = {
  OFFLINE: 'It runs nowhere, as intended.',
  STARTING: 'It is about to be granted to a node, or is being started there.',
  ONLINE: 'Every resource of it runs.',
  DEGRADED: 'It runs, but not every resource of it.',
  STOPPING: 'It is being stopped.',
  FAILED: 'A resource failed and is being judged, or it failed on every node of its list.',
  BLOCKED: 'It is to run and nothing can be done for it now; waitingFor says why.',
  UNKNOWN: 'Whether it runs cannot be said: its holder is silent, or could not verify that it stopped.',
  POISON: 'Its starts were followed by the loss of nodes; it rests until cleared.',
} as const
export type GroupState = keyof typeof groupStates

export const nodeStates = {
  ONLINE: 'It is here and its lease is renewed.',
  JEOPARDY: 'It is here and its lease is renewed, and it has one link left of several, or it and another node do not hear each other.',
  SILENT: 'Its heartbeats have stopped coming; no case yet.',
  SUSPECT: 'A case is open: it was challenged and has not answered.',
  CONDEMNED: 'It lost its right to act; proof that it cannot is being sought.',
  DOWN: 'Its last boot is proved unable to act.',
  LEAVING: 'It was told to leave and still stops what it runs.',
  LEFT: 'It has left in an orderly way: it holds nothing, and its silence opens no case.',
  JOINING: 'It has not been heard since it was last started.',
} as const
export type NodeState = keyof typeof nodeStates

export const caseStages = {
  CHALLENGE: 'The node must answer in the log.',
  CONDEMNED: 'It did not; its fence devices are called.',
  PROVED: 'It is proved that it can no longer act; its groups are being recovered.',
  RECOVERED: 'Over: its groups are placed again.',
  CLOSED: 'Over without a fencing.',
} as const

export const proofKinds = {
  released: 'The holder reported that it stopped and sealed its token.',
  fenced: 'A fence device confirmed that the node is off.',
  storage: 'Its key is gone from the shared disk that the group lives on: it can neither read nor write there.',
  guardian: 'The guardian of the node stated that everything is sealed and stopped.',
  rebooted: 'The node is back with another boot and found nothing running.',
  lease: 'Its lease ran out, and its watchdog with it.',
  operator: 'A person stated that it is off.',
} as const
