/** The truth table of probes: why it was asked, what it answered, what that means. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeProbe, type MethodResult, type ProbePurpose } from '../../../src/core/monitor/index.js'

const answers: Record<string, MethodResult> = {
  running: { outcome: 'running' },
  stopped: { outcome: 'stopped' },
  failed: { outcome: 'failed', detail: 'because' },
  'timed-out': { outcome: 'timed-out', detail: 'because' },
  cancelled: { outcome: 'cancelled' },
}

const table = `
            running   stopped              failed                timed-out             cancelled
  periodic  running   failed/died          failed/probe-failed   failed/probe-timeout  none
  death     running   failed/died          failed/died           failed/probe-timeout  none
  adopted   running   failed/died          failed/probe-failed   failed/probe-timeout  none
  verify    unknown   stopped              unknown               unknown               none
  stray     running   stopped              unknown               unknown               none
`

const [head = [], ...rows] = table
  .trim()
  .split('\n')
  .map((line) => line.trim().split(/ +/))

for (const [purpose, ...meanings] of rows) {
  for (const [column, answer] of head.entries()) {
    test(`asked for "${purpose}", "${answer}" means ${meanings[column]}`, () => {
      const verdict = judgeProbe(purpose as ProbePurpose, answers[answer] as MethodResult)
      assert.equal(verdict.verdict === 'failed' ? `failed/${verdict.event}` : verdict.verdict, meanings[column])
    })
  }
}
