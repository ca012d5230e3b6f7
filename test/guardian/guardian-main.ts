/** A guardian process for tests: its configuration is the one argument. A second one ends quietly. */
import { ClusterError } from '../../src/base/index.js'
import { runGuardian } from '../../src/guardian/index.js'
import { endWithTest } from '../monitor/end-with-test.js'

endWithTest()

try {
  const guardian = await runGuardian(JSON.parse(process.argv[2] as string))
  process.once('SIGTERM', () => guardian.terminate())
  process.once('SIGHUP', () => void guardian.handOver().then(() => process.exit(0)))
  void guardian.ended.then(() => process.exit(0))
} catch (error) {
  if (!(error instanceof ClusterError)) throw error
  console.log(error.message)
}
