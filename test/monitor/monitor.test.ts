import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { BenchNode, resource } from './bench-node.js'

let bench: BenchNode

before(async () => {
  bench = new BenchNode()
  bench.startMonitor()
  await bench.hello()
})
after(() => bench.close())

const sleeper = resource({ type: 'command', parameters: { run: 'echo up; exec sleep 1000' } })

test('a kept process is started, reported, stopped and its token sealed', async () => {
  bench.run('kept', { app: sleeper })
  await bench.groupIs('kept', 'ONLINE')
  const pid = bench.pidOf('kept', 'app')
  assert.ok(pid !== undefined && existsSync(`/proc/${pid}`))
  bench.stop('kept')
  await bench.groupIs('kept', 'STOPPED')
  await bench.until('sealed', (report) => report.kind === 'sealed' && report.group === 'kept')
  assert.equal(existsSync(`/proc/${pid}`), false)
  assert.equal(bench.runFolder.openTokens().size, 0)
})

test('start, stop and probe commands run in order of their dependencies, with the grant in their environment', async () => {
  const log = join(bench.dir, 'order')
  const noting = (name: string, dependsOn: string[]) =>
    resource({
      type: 'command',
      dependsOn: dependsOn as never,
      parameters: {
        start: `touch ${bench.dir}/${name}; echo start ${name} $QUORATE_GRANT_TOKEN $QUORATE_GROUP/$QUORATE_RESOURCE >> ${log}`,
        stop: `rm -f ${bench.dir}/${name}; echo stop ${name} >> ${log}`,
        probe: `test -e ${bench.dir}/${name} || exit 7`,
      },
    })
  bench.run('ordered', { web: noting('web', ['ip']), ip: noting('ip', []) }, { token: 7 as never })
  await bench.groupIs('ordered', 'ONLINE')
  bench.stop('ordered', 7)
  await bench.groupIs('ordered', 'STOPPED')
  assert.equal(readFileSync(log, 'utf8'), 'start ip 7 ordered/ip\nstart web 7 ordered/web\nstop web\nstop ip\n')
})
