/** Ends this process when the test that it belongs to is gone, however that ended. */
import { existsSync } from 'node:fs'

/** The variable is passed on by every process of a test node to those that it starts. */
export const testVariable = 'QUORATE_TEST_PID'

export function endWithTest() {
  const test = process.env[testVariable]
  if (test === undefined) return
  setInterval(() => {
    if (!existsSync(`/proc/${test}`)) process.exit(1)
  }, 1_000).unref()
}
