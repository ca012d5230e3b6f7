/** The tests of the monitor once more, with the cgroups that only root may make, and what it does only with them. */
import '../monitor/monitor.test.js'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { BenchNode, resource } from '../monitor/bench-node.js'

test('a hundred starts at once do not keep it from telling of those that are done', async (t) => {
  const bench = new BenchNode()
  t.after(() => bench.close())
  bench.startMonitor()
  await bench.hello()
  const many = Array.from({ length: 100 }, (_, at) => `many${at}`)
  const [begun, from] = [join(bench.dir, 'begun'), bench.reports.length]
  for (const one of many) {
    const up = join(bench.dir, one)
    const parameters = { start: `touch ${up}; echo x >> ${begun}`, stop: `rm -f ${up}`, probe: `test -e ${up} || exit 7` }
    bench.run(one, { app: resource({ type: 'command', parameters }) })
  }
  await bench.until('the first to be up', (said) => said.kind === 'group' && said.state === 'ONLINE', from)
  const count = readFileSync(begun, 'utf8').split('\n').length - 1
  assert.ok(count < 60, `${count} had begun by then`)
  await Promise.all(many.map((one) => bench.groupIs(one, 'ONLINE')))
  for (const one of many) bench.stop(one)
  await Promise.all(many.map((one) => bench.groupIs(one, 'STOPPED')))
})
