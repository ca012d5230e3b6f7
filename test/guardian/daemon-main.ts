/** Stands in for a daemon: renews the lease, tells the guardian that it is alive, and leaves when asked. */
import { bootInstant } from '../../src/base/index.js'
import { openClock } from '../../src/io/clock/index.js'
import { openGuardianLink } from '../../src/io/guardian-link/index.js'
import { openRunFolder } from '../../src/io/run-folder/index.js'
import { endWithTest } from '../monitor/end-with-test.js'

endWithTest()

const { runDir, boot, lease } = JSON.parse(process.argv[2] as string)
const clock = openClock()
const runFolder = openRunFolder(runDir)
const file = runFolder.openLease(boot)
const link = openGuardianLink(runFolder.socket('guardian'), {
  onState: ({ frozen }) => {
    // As a daemon would that has applied everything and finds its grants as they were.
    if (frozen !== undefined && clock.boot() + 50 < runFolder.readDeadline(boot)) link.send({ kind: 'holds', tokens: frozen })
  },
  onConnected: renew,
  onDisconnected: () => {},
})

function renew() {
  file.extend(bootInstant(clock.boot() + lease))
  link.send({ kind: 'alive' })
}
renew()
setInterval(renew, 50)
process.once('SIGTERM', () => {
  link.send({ kind: 'daemon-leaving' })
  setTimeout(() => process.exit(0), 50)
})
