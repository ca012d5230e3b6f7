/** Seeds that once broke a promise, each with what it was: played in every test. */
import type { Run } from './play.js'

export const regressions: readonly { readonly run: Run; readonly was: string }[] = [
  {
    run: { seed: 137, profile: 'whole', span: 12_000 },
    was: 'a leader that had just been elected took voters for answering that it had not heard yet, and had a majority switched off',
  },
  {
    run: { seed: 24_360, profile: 'whole' },
    was: 'an arbiter whose monitor said hello late read the device under the name of a call that the monitor still held, and waited for ever',
  },
  {
    run: { seed: 24_696, profile: 'whole' },
    was: 'a node was cut off that had been one too many when that was decided and had come to be needed when the device was called',
  },
  {
    run: { seed: 300_220, profile: 'whole' },
    was: 'a node that was to be fenced and one that was leaving gave the lead to each other, over and over',
  },
  {
    run: { seed: 410_021, profile: 'whole' },
    was: 'a node was cut off although the other one had been switched off a moment before, for its lease had been the proof',
  },
  {
    run: { seed: 2_102_134, profile: 'fencing' },
    was: 'a node whose log lagged put its key on a shared disk again after it had been cut off there, and started what it had been granted before',
  },
  {
    run: { seed: 2_104_287, profile: 'fencing' },
    was: 'a node that had been switched off stayed off, for the arbiter that was to switch it on again was lost',
  },
  {
    run: { seed: 10_005_396, profile: 'fencing' },
    was: 'a node that slept while its storage was cut off put its key there again before the service that had woken with it was stopped',
  },
  {
    run: { seed: 10_004_994, profile: 'fencing' },
    was: 'a leader that had been condemned itself chose itself to call a device, could not, and waited for itself for ever',
  },
  {
    run: { seed: 10_007_636, profile: 'fencing' },
    was: 'a node that had been switched off stayed off, for the one call to switch it on had failed',
  },
  {
    run: { seed: 40_001_346, profile: 'fencing' },
    was: 'a node was cut off while a device that had failed for another one was still to do it: when it did, the quorum was lost',
  },
  {
    run: { seed: 164, profile: 'fencing' },
    was: 'a node was cut off although the other one had just been switched off, under a boot that came up while its device was called',
  },
]
