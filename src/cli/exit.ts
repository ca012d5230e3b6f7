/** How a command ends, for scripts. */
export const exitCodes = {
  done: 0,
  refused: 1,
  failed: 2,
  stillGoing: 3,
  unavailable: 4,
  usage: 64,
} as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Of an answer without an operation in it. */
export function exitOf(status: number): ExitCode {
  if (status === 202) return exitCodes.stillGoing
  if (status < 400) return exitCodes.done
  if (status === 503 || status === 0) return exitCodes.unavailable
  return status < 500 || status === 501 ? exitCodes.refused : exitCodes.failed
}
