/** The checkpoints that the last holder left, as files in every resource's checkpoint folder. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isName } from '../base/index.js'
import type { MonitorEffect } from '../core/monitor/index.js'
import type { RunFolder } from '../io/run-folder/index.js'

/** What an earlier run left in the folders goes. A name that could leave its folder is no name of a checkpoint and is passed over. */
export function writeCheckpoints(runFolder: RunFolder, effect: Extract<MonitorEffect, { kind: 'write-checkpoints' }>) {
  const checkpoints = Object.entries(effect.checkpoints).filter(([name]) => isName(name))
  for (const resource of effect.resources) {
    rmSync(runFolder.folder('checkpoints', effect.group, resource), { recursive: true, force: true })
    const folder = runFolder.folder('checkpoints', effect.group, resource)
    for (const [name, value] of checkpoints) writeFileSync(join(folder, name), value, { mode: 0o600 })
  }
}
