/** One program run for the daemon: a fence agent, an agent's metadata. In a cell of its own, which goes with it. */
import { type Action, type Containment, callPrefix, methodMarker, runMarker, spawnAction } from '../processes/index.js'
import type { RunFolder } from '../run-folder/index.js'
import { safePath } from './environment.js'

export interface CallRequest {
  readonly callId: string
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly input: string
  readonly workingDirectory?: string
  readonly user?: string
  readonly hold: boolean
  readonly of?: { readonly group: string }
  readonly timeout: number
}

let calls = 0

export function beginCall(request: CallRequest, runFolder: RunFolder, containment: Containment): Action {
  const markers = { [methodMarker]: 'call', QUORATE_CALL: request.callId }
  const cell = containment.cell(`${callPrefix}${process.pid}-${++calls}`, markers)
  const action = spawnAction({
    argv: request.argv,
    environment: { PATH: safePath, LC_ALL: 'C', ...request.environment, ...markers, [runMarker]: runFolder.key },
    cell,
    part: 'action',
    output: { folder: runFolder.folder('output') },
    input: request.input,
    ...(request.workingDirectory === undefined ? {} : { workingDirectory: request.workingDirectory }),
    ...(request.user === undefined ? {} : { user: request.user }),
    hold: request.hold,
    diesWithStarter: request.hold,
    timeout: request.timeout,
  })
  // What a call leaves behind has no owner.
  const done = action.done.then(async (outcome) => {
    // What acts under a grant counts as running until nothing of it is left.
    while (!(await cell.kill(5_000)) && request.of !== undefined);
    cell.remove()
    return outcome
  })
  return { ...action, done }
}
