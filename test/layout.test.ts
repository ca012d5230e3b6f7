import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readSources } from '../scripts/check-layout.js'
import { checkLayout } from '../scripts/layout.js'

function violations(path: string, text: string): string[] {
  return checkLayout(new Map([[path, text]])).map((violation) => `${violation.line}: ${violation.text}`)
}

test('this checkout keeps the layout', () => {
  const found = checkLayout(readSources(join(import.meta.dirname, '..', '..')))
  assert.deepEqual(
    found.map(({ path, line, text }) => `${path}:${line}: ${text}`),
    [],
  )
})

describe('planted violations are found', () => {
  const cases: readonly [string, string, string, RegExp][] = [
    [
      'an import from above',
      'src/core/raft/a.ts',
      "import { x } from '../../node/index.js'",
      /raft is on floor 1, node above it on floor 4/,
    ],
    [
      'agreement that imports judgement',
      'src/core/cluster/a.ts',
      "import type { x } from '../planner/index.js'",
      /floor 1, core\/planner above it on floor 2/,
    ],
    ['base that imports core', 'src/base/a.ts', "export * from '../core/raft/index.js'", /floor 0/],
    [
      'a way past the door',
      'src/node/a.ts',
      "import { x } from '../io/store/contract.js'",
      /io\/store is entered by its door, src\/io\/store\/index\.js/,
    ],
    ['a way past the door on one floor', 'src/io/datagram/a.ts', "import type { x } from '../peers/contract.js'", /door/],
    [
      'an import over several lines',
      'src/core/raft/a.ts',
      "import {\n  x,\n  y,\n} from '../../io/store/index.js'",
      /^4: imports .*floor 3/,
    ],
    ['a bare import', 'src/core/raft/a.ts', "import '../../io/store/index.js'", /floor 3/],
    ['a type import in passing', 'src/core/raft/a.ts', "type X = import('../../io/store/index.js').Store", /floor 3/],
    ['a dynamic import', 'src/core/raft/a.ts', "const x = () => import('../../io/store/index.js')", /floor 3/],
    ['the command line that knows the core', 'src/cli/a.ts', "import { x } from '../core/cluster/index.js'", /cli knows only the HTTP API/],
    [
      'the dashboard that knows the API room',
      'src/dashboard/a.ts',
      "import { x } from '../api/index.js'",
      /dashboard knows only the HTTP API/,
    ],
    ['a program that knows its tests', 'src/node/a.ts', "import { x } from '../../test/sim/index.js'", /knows nothing of test\//],
    [
      'a judge that looks at the cluster',
      'jepsen-like/judges/a.ts',
      "import { x } from '../cluster/index.js'",
      /knows a history and nothing else/,
    ],
    ['a black box that looks in', 'jepsen-like/a.ts', "import { x } from '../src/base/index.js'", /black box/],
    ['a folder without a floor', 'src/utils/a.ts', '', /has no floor/],
    ['a room that does not exist', 'src/node/a.ts', "import { x } from '../helpers/index.js'", /no such room/],
    ['node: in the core', 'src/core/planner/a.ts', "import { readFileSync } from 'node:fs'", /have no I\/O/],
    ['node: in base', 'src/base/a.ts', "import { readFileSync } from 'node:fs'", /have no I\/O/],
    ['a package in the core', 'src/core/planner/a.ts', "import x from 'yaml'", /only sorted-btree/],
    ['the codec’s package in the core', 'src/core/planner/a.ts', "import x from 'msgpackr'", /only sorted-btree/],
    ['the date', 'src/core/planner/a.ts', 'const x = new Date()', /^1: uses Date/],
    ['the time', 'src/core/planner/a.ts', '\nconst x = Date.now()', /^2: uses Date/],
    ['chance', 'src/core/planner/a.ts', 'const x = Math.random()', /uses Math\.random/],
    ['a timer', 'src/core/planner/a.ts', 'setTimeout(() => {}, 1)', /uses setTimeout/],
    ['an interval', 'src/core/planner/a.ts', 'setInterval(f, 1)', /uses setInterval/],
    ['an immediate', 'src/core/planner/a.ts', 'setImmediate(f)', /uses setImmediate/],
    ['the process', 'src/core/planner/a.ts', 'const x = process.env.HOME', /uses process/],
    ['the performance clock', 'src/core/planner/a.ts', 'const x = performance.now()', /uses performance/],
    ['waiting', 'src/core/planner/a.ts', 'const x = await y', /uses await/],
    ['a function that waits', 'src/core/planner/a.ts', 'export async function x() {}', /uses async/],
    ['a method that waits', 'src/core/planner/a.ts', 'class A {\n  async b() {}\n}', /^2: uses async/],
    ['the locale', 'src/core/planner/a.ts', 'x.sort((a, b) => a.localeCompare(b))', /uses localeCompare/],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a source text.
    ['code in a template', 'src/core/planner/a.ts', 'const x = `${{ a: `${Date.now()}` }}`', /uses Date/],
    ['code after a regular expression', 'src/core/planner/a.ts', "const x = /['/*]/.test(y) ? Date.now() : 0", /uses Date/],
    ['a global where a key would end', 'src/core/planner/a.ts', 'const x = a ? process : b', /uses process/],
  ]
  for (const [name, path, text, expected] of cases) {
    test(name, () => {
      const found = violations(path, text)
      assert.equal(found.length, 1, found.join('\n'))
      assert.match(found[0] ?? '', expected)
    })
  }
})

describe('what is right is left alone', () => {
  const cases: readonly [string, string, string][] = [
    [
      'doors, the same floor and down',
      'src/node/a.ts',
      "import { x } from '../io/store/index.js'\nimport { y } from '../monitor/index.js'\nimport z from 'node:fs'",
    ],
    [
      'a core room and its package',
      'src/core/planner/a.ts',
      "import { x } from '../cluster/index.js'\nimport BTree from 'sorted-btree'\nimport { y } from './y.js'",
    ],
    ['the codec', 'src/base/codec.ts', "import { Packr } from 'msgpackr'"],
    ['faces among themselves', 'src/dashboard/a.ts', "import { x } from '../cli/index.js'\nimport { y } from '../base/index.js'"],
    ['the top', 'src/main.ts', "import { x } from './cli/index.js'\nimport { y } from './node/index.js'"],
    ['tests, which may go anywhere', 'test/io/a.ts', "import { x } from '../../src/io/store/record.js'"],
    [
      'words in comments and texts',
      'src/core/planner/a.ts',
      "// await Date.now()\n/* process\n import 'node:fs' */\nconst x = 'Date from \\'node:fs\\' process'\nconst y = `await`",
    ],
    [
      'a field of that name',
      'src/core/planner/a.ts',
      'interface A {\n  readonly process: B\n  date?: C\n  readonly performance?: D\n}\nconst x = a.process.id',
    ],
    [
      'a name of one’s own',
      'src/core/planner/a.ts',
      'export function f(process: Known) {\n  return g(process)\n}\nconst h = a.some((process) => process.id)',
    ],
    ['an array made from', 'src/core/planner/a.ts', "const x = Array.from('abc')"],
  ]
  for (const [name, path, text] of cases) test(name, () => assert.deepEqual(violations(path, text), []))
})
