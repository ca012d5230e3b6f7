/** The chaos harness at work, without root: a short mixed run in which nothing may be wrong, and a planted mistake that must be found. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findPlant } from '../../jepsen-like/plants/main.js'
import { plants } from '../../jepsen-like/plants/plants.js'
import { parse, runOnce } from '../../jepsen-like/run.js'
import { projectRoot } from '../../scripts/lib/lab.js'

const out = mkdtempSync(join(tmpdir(), 'quorate-chaos-'))
after(() => rmSync(out, { recursive: true, force: true }))
const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 1_000_000))

test('a short mixed run: nothing contradicts, and its files can be judged again', async (context) => {
  const asked = parse([
    '--seconds',
    '20',
    '--seed',
    String(seed),
    '--nemesis',
    'kill,crash-node,cut-node,transfer,clock-jump',
    '--rest',
    '1-2',
    '--out',
    out,
  ])
  assert.ok(typeof asked !== 'string', String(asked))
  context.diagnostic(`CHAOS_SEED=${seed}`)
  const { verdicts, record, folder } = await runOnce(asked, (text) => context.diagnostic(text))
  const wrong = verdicts.filter(({ valid }) => valid === false)
  assert.deepEqual(wrong, [], `CHAOS_SEED=${seed}: ${JSON.stringify(wrong)}`)
  const linearizable = verdicts.filter(({ judge }) => judge === 'linearizable')
  assert.ok(linearizable.length >= 4 && linearizable.every(({ valid }) => valid === true), 'what clients saw was judged, not passed over')
  assert.ok(record.bands.length > 0, 'something was broken')

  const page = readFileSync(join(folder, 'report.html'), 'utf8')
  assert.match(page, /class="badge valid"/)
  assert.doesNotMatch(page, /(src|href)="https?:/, 'the page needs nothing outside of it')
  assert.ok(existsSync(join(out, 'index.html')))
  const again = spawnSync(process.execPath, [join(projectRoot, 'dist/jepsen-like/run.js'), 'check', folder], { encoding: 'utf8' })
  assert.equal(again.status, 0, again.stdout + again.stderr)
  const check = spawnSync(join(projectRoot, 'jepsen-like/check'), [join(folder, 'register.jsonl'), join(folder, 'set.jsonl')], {
    encoding: 'utf8',
  })
  assert.equal(check.status, 0, check.stdout + check.stderr)
})

test('a lost record of repeated requests is found', async (context) => {
  const plant = plants.find(({ name }) => name === 'request-forgotten')
  assert.ok(plant !== undefined)
  const found = await findPlant(plant, seed, (text) => context.diagnostic(text))
  assert.equal(found.by, 'idempotent once', `${found.text}, CHAOS_SEED=${seed}`)
})

test('wrong arguments are told', () => {
  for (const [args, reason] of [
    [['--workload', 'regster'], /there is no workload "regster"/],
    [['--nemesis', 'kil'], /there is no fault "kil"/],
    [['--nodes', '4'], /3, 5 or 7/],
    [['--minutes', 'long'], /--minutes is a number/],
    [['--rest', '5'], /--rest/],
    [['--fast'], /--fast/],
  ] as const) {
    const asked = parse(args)
    assert.match(String(asked), reason)
  }
})
