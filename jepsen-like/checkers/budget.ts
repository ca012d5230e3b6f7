/** What a judgement may cost, counted by those who do the work. */
export interface Budget {
  /** Configurations looked at so far. */
  steps: number
  /** Configurations held in memory now. */
  stored: number
  readonly storedMax: number
}

/** A search takes so many steps before it lets others go on. */
export const budgetSlice = 512
