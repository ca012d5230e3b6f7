/** A monitor process for tests: its configuration is the one argument. */
import { runMonitor } from '../../src/monitor/index.js'
import { endWithTest } from './end-with-test.js'

endWithTest()

const monitor = await runMonitor(JSON.parse(process.argv[2] as string))
process.once('SIGTERM', () => void monitor.close().then(() => process.exit(0)))
