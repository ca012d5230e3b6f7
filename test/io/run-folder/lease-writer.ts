/** Extends a lease as fast as it can, for the reader's test. */
import { type BootId, bootInstant } from '../../../src/base/index.js'
import { openRunFolder } from '../../../src/io/run-folder/index.js'

const lease = openRunFolder(process.argv[2] as string).openLease(process.argv[3] as BootId)
for (let deadline = 1_000_000; deadline < 2_000_000; deadline++) lease.extend(bootInstant(deadline))
