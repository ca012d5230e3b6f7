/** The id of this boot: the kernel's, or where several nodes share a kernel a value that only the node's power device renews. */
import { readFileSync } from 'node:fs'
import { type BootId, ClusterError } from '../../base/index.js'

export interface BootIdSource {
  /** File with the boot id; the kernel's when not given. */
  readonly bootIdFile?: string | undefined
}

/** Errors: INVALID when the file is missing or holds no id. */
export function readBootId(source: BootIdSource = {}): BootId {
  const path = source.bootIdFile ?? '/proc/sys/kernel/random/boot_id'
  let text: string
  try {
    text = readFileSync(path, 'utf8').trim()
  } catch {
    throw new ClusterError('INVALID', `the boot id cannot be read from ${path}`, {
      fix: "start the node through its power device's on, which writes it",
    })
  }
  if (!/^[\w.:-]{1,128}$/.test(text)) throw new ClusterError('INVALID', `${path} holds no boot id`)
  return text as BootId
}
