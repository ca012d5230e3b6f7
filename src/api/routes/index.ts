/** Every route of the API, in the order in which its description lists them. */
import type { Access } from '../cluster/access.js'
import type { Route } from '../http/route.js'
import { brakesRoutes } from './brakes.js'
import { caseRoutes } from './cases.js'
import { checkpointRoutes } from './checkpoints.js'
import { configurationRoutes } from './configuration.js'
import { decisionRoutes } from './decisions.js'
import { diskRoutes } from './disks.js'
import { documentRoutes } from './documents.js'
import { eventRoutes } from './events.js'
import { explanationRoutes } from './explanations.js'
import { groupVerbRoutes } from './group-verbs.js'
import { groupRoutes } from './groups.js'
import { laterRoutes } from './later.js'
import { linkRoutes } from './links.js'
import { liveRoutes } from './live.js'
import { memberRoutes } from './members.js'
import { nodeVerbRoutes } from './node-verbs.js'
import { nodeRoutes } from './nodes.js'
import { operationRoutes } from './operations.js'
import { resourceRoutes } from './resources.js'
import { settingsRoutes } from './settings.js'
import { statusRoutes } from './status.js'
import { storeRoutes } from './store.js'
import { typeRoutes } from './types.js'

export function allRoutes(access: Access): readonly Route[] {
  const routes = [
    statusRoutes,
    groupRoutes,
    groupVerbRoutes,
    explanationRoutes,
    resourceRoutes,
    checkpointRoutes,
    nodeRoutes,
    nodeVerbRoutes,
    linkRoutes,
    memberRoutes,
    caseRoutes,
    brakesRoutes,
    diskRoutes,
    decisionRoutes,
    operationRoutes,
    eventRoutes,
    configurationRoutes,
    settingsRoutes,
    storeRoutes,
    typeRoutes,
    liveRoutes,
  ].flatMap((some) => some(access))
  const all = [...routes, ...laterRoutes()]
  return [...all, ...documentRoutes(all)]
}
