/** A monitor process for tests: its configuration is the one argument, and the one group that it keeps may follow. */
import type { GroupName } from '../../src/base/index.js'
import { runMonitor } from '../../src/monitor/index.js'
import { endWithTest } from './end-with-test.js'

endWithTest()

const [, , config, option, group] = process.argv
const monitor = await runMonitor({ ...JSON.parse(config as string), ...(option === '--group' ? { group: group as GroupName } : {}) })
process.once('SIGTERM', () => void monitor.close().then(() => process.exit(0)))
