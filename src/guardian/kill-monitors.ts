/** Ends every monitor of this run folder, and whatever they had in flight. */
import { type Containment, findExactly, isAlive, runMarker, signalProcess, waitUntil } from '../io/processes/index.js'
import type { RunFolder } from '../io/run-folder/index.js'
import { roleMarker } from './children.js'

/**
 * Found by pid file and by environment: the second also finds a child that a monitor has just forked and that is not
 * yet anything else. False when something is still there after `timeout` milliseconds.
 */
export async function killMonitors(runFolder: RunFolder, containments: readonly Containment[], timeout: number): Promise<boolean> {
  const markers = [`${runMarker}=${runFolder.key}`, `${roleMarker}=monitor`]
  const gone = await waitUntil(() => {
    const known = runFolder.readPid('monitor')
    const found = findExactly((environment) => markers.every((marker) => environment.has(marker)))
    const monitors = [...found, ...(known !== undefined && isAlive(known) ? [known] : [])]
    for (const monitor of monitors) signalProcess(monitor, 'SIGKILL')
    return monitors.length === 0
  }, timeout)
  const actions = await Promise.all(containments.map((containment) => containment.killActions(timeout)))
  return gone && actions.every((done) => done)
}
