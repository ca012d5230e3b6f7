/** Seeds that once broke a promise, each with what it was: played in every test. */
import type { Run } from './play.js'

export const regressions: readonly { readonly run: Run; readonly was: string }[] = [
  {
    run: { seed: 137, profile: 'whole', span: 12_000 },
    was: 'a leader that had just been elected took voters for answering that it had not heard yet, and had a majority switched off',
  },
]
