/** Small histories of each model, good and bad, written as lines `process f value` with > for an invocation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLinearizable, type Doubt, type Header, type HistoryEvent, type ModelName } from './index.js'
import { generate } from './testing/generate.js'
import { Random } from './testing/random.js'

type Expected = true | false | 'unknown'

/**
 * One event a line: `1 > write 5`, then `1 ok`, `1 ok 5`, `1 fail` or `1 info`; a key is written before the f, as in `1 > x:write 5`.
 * The rest of the line is JSON.
 */
function events(script: string): readonly HistoryEvent[] {
  const open = new Map<string, { readonly f: string; readonly key?: string; readonly value?: string }>()
  return script
    .split(/[;\n]/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map((line): HistoryEvent => {
      const [, process = '', type = '', rest = ''] = /^(\w+) (\S+) ?(.*)$/.exec(line) ?? []
      if (type === '>') {
        const [, key, f = '', value] = /^(?:(\w+):)?(\w+) ?(.*)$/.exec(rest) ?? []
        open.set(process, { f, ...(key === undefined ? {} : { key }) })
        return { process, type: 'invoke', f, ...(key === undefined ? {} : { key }), ...(value ? { value: JSON.parse(value) } : {}) }
      }
      return { process, type: type as 'ok', ...(rest === '' ? {} : { value: JSON.parse(rest) }) }
    })
}

function table(model: ModelName, header: Omit<Header, 'model'>, cases: Readonly<Record<string, readonly [Expected, string]>>): void {
  for (const [name, [expected, script]] of Object.entries(cases)) {
    test(`${model}: ${name} → ${expected}`, () => {
      const verdict = checkLinearizable(events(script), { model, ...header })
      assert.equal(verdict.linearizable, expected, JSON.stringify(verdict))
    })
  }
}

table(
  'cas-register',
  { initial: 0 },
  {
    'nothing happened': [true, ''],
    'a read of the beginning': [true, 'a > read; a ok 0'],
    'a read of what nobody wrote': [false, 'a > read; a ok 7'],
    'a stale read': [false, 'a > write 1; a ok; b > read; b ok 0'],
    'a read during a write sees the old value': [true, 'a > write 1; b > read; b ok 0; a ok'],
    'a read during a write sees the new value': [true, 'a > write 1; b > read; b ok 1; a ok'],
    'two reads during a write see new, then old': [false, 'a > write 1; b > read; b ok 1; b > read; b ok 0; a ok'],
    'a read before its write': [false, 'a > read; a ok 1; b > write 1; b ok'],
    'a lost update: both found the same value': [false, 'a > cas [0,1]; b > cas [0,2]; a ok; b ok'],
    'a lost update of equal values': [false, 'a > cas [0,1]; b > cas [0,1]; a ok; b ok'],
    'a cas of a value that is not there': [false, 'a > cas [5,1]; a ok'],
    'cas one after the other': [true, 'b > cas [1,2]; a > cas [0,1]; b ok; a ok; c > read; c ok 2'],
    'an unknown write that took effect late': [true, 'a > write 1; a info; b > read; b ok 0; b > read; b ok 0; b > read; b ok 1'],
    'an unknown write that never did': [true, 'a > write 1; a info; b > read; b ok 0; b > write 2; b ok; b > read; b ok 2'],
    'an unknown write that took effect twice': [false, 'a > write 1; a info; b > read; b ok 1; b > write 2; b ok; b > read; b ok 1'],
    'two unknown writes of one value': [
      true,
      'a > write 1; a info; c > write 1; c info; b > read; b ok 1; b > write 2; b ok; b > read; b ok 1',
    ],
    'an unknown write that took effect before it began': [false, 'b > read; b ok 1; a > write 1; a info'],
    'an invocation without completion may take effect': [true, 'a > write 1; b > read; b ok 1'],
    'an unknown cas that must have happened, twice': [
      false,
      'a > cas [0,1]; a info; b > write 0; b ok; c > read; c ok 1; b > write 0; b ok; c > read; c ok 1',
    ],
    'the process of an unknown operation goes on': [true, 'a > write 1; a info; a > read; a ok 0; a > read; a ok 1'],
    'a failed write that did something': [false, 'a > write 1; a fail; b > read; b ok 1'],
    'a failed cas says nothing of the value': [true, 'a > cas [0,1]; a fail; b > read; b ok 0'],
    'a read of unknown outcome says nothing': [true, 'a > read; a info; b > read; b ok 0'],
    'values are compared in depth': [true, 'a > write {"x":[1,{"y":2}],"z":3}; a ok; b > read; b ok {"z":3,"x":[1,{"y":2}]}'],
    'the order of a list matters': [false, 'a > write [1,2]; a ok; b > read; b ok [2,1]'],
    'a number is not its text': [false, 'a > write 1; a ok; b > read; b ok "1"'],
    'null is a value': [true, 'a > write null; a ok; b > read; b ok null; b > read; b ok'],
    'a write between two reads of one value': [false, 'a > write 1; a ok; b > read; b ok 1; a > write 2; a ok; b > read; b ok 1'],
    'the nemesis is nobody': [true, 'nemesis info; a > read; a ok 0; nemesis info'],
    'a completion out of nowhere': ['unknown', 'a ok 0'],
    'no such operation': ['unknown', 'a > increment; a ok'],
  },
)

table(
  'cas-register',
  { initial: 0, strict: true },
  {
    'a refused cas saw another value': [true, 'a > cas [5,1]; a fail; b > read; b ok 0'],
    'a refused cas though the value was there': [false, 'a > cas [0,1]; a fail; b > read; b ok 0'],
    'a refused cas while another value was there for a moment': [true, 'a > cas [0,1]; b > write 2; b ok; b > write 0; b ok; a fail'],
    'an unknown write explains a refusal': [true, 'b > write 3; b info; a > cas [0,1]; a fail'],
    'an unknown write that began later does not': [false, 'a > cas [0,1]; a fail; b > write 3; b info'],
    'a failed write did nothing, still': [false, 'a > write 1; a fail; b > read; b ok 1'],
  },
)

table(
  'kv',
  { initial: { x: 1 } },
  {
    'keys begin as they are told': [true, 'a > x:read; a ok 1; a > y:read; a ok null'],
    'a key does not see another': [false, 'a > x:write 5; a ok; b > y:read; b ok 5'],
    'one guilty key among good ones': [false, 'a > x:write 5; a ok; b > y:write 5; b ok; b > x:read; b ok 1; a > y:read; a ok 5'],
  },
)

table('kv', { initial: 7 }, { 'all keys begin with one value': [true, 'a > x:read; a ok 7; a > y:read; a ok 7'] })

table(
  'multi-register',
  { initial: { x: 0, y: 0 } },
  {
    'a transaction is seen whole': [
      true,
      'a > txn [["w","x",1],["w","y",1]]; a ok; b > txn [["r","x",null],["r","y",null]]; b ok [["r","x",1],["r","y",1]]',
    ],
    'a transaction is seen in half': [
      false,
      'a > txn [["w","x",1],["w","y",1]]; b > txn [["r","x",null],["r","y",null]]; b ok [["r","x",1],["r","y",0]]; a ok',
    ],
    'it reads its own write': [true, 'a > txn [["w","x",1],["r","x",null]]; a ok [["w","x",1],["r","x",1]]'],
    'it does not read its own write': [false, 'a > txn [["w","x",1],["r","x",null]]; a ok [["w","x",1],["r","x",0]]'],
    'two orders of two writes': [
      false,
      `a > txn [["w","x",1]]; b > txn [["w","y",1]];
    c > txn [["r","x",null],["r","y",null]]; c ok [["r","x",1],["r","y",0]]; c > txn [["r","x",null],["r","y",null]]; c ok [["r","x",0],["r","y",1]]; a ok; b ok`,
    ],
    'write skew': [
      false,
      `a > txn [["r","x",null],["w","y",1]]; b > txn [["r","y",null],["w","x",1]]; a ok [["r","x",0],["w","y",1]]; b ok [["r","y",0],["w","x",1]]`,
    ],
    'an unknown transaction, seen in one register, is there in the other': [
      false,
      'a > txn [["w","x",1],["w","y",1]]; a info; b > txn [["r","x",null]]; b ok [["r","x",1]]; b > txn [["r","y",null]]; b ok [["r","y",0]]',
    ],
    'an unknown transaction of which one part is replaced before the other is seen': [
      true,
      'a > txn [["w","x",1],["w","y",1]]; a info; b > txn [["w","x",2]]; b ok; b > txn [["r","x",null],["r","y",null]]; b ok [["r","x",2],["r","y",0]]; c > txn [["r","y",null]]; c ok [["r","y",1]]',
    ],
    'single reads and writes': [true, 'a > x:write 1; a ok; b > txn [["r","x",null]]; b ok [["r","x",1]]'],
    'another transaction than was asked for': ['unknown', 'a > txn [["w","x",1]]; a ok [["w","x",2]]'],
  },
)

table(
  'mutex',
  {},
  {
    'one after the other': [true, 'a > acquire; a ok; a > release; a ok; b > acquire; b ok'],
    'two holders': [false, 'a > acquire; a ok; b > acquire; b ok'],
    'two holders with a release between them that is not known': [true, 'a > acquire; a ok; a > release; a info; b > acquire; b ok'],
    'a release of what is free': [false, 'a > release; a ok'],
    'released by another': [true, 'a > acquire; a ok; b > release; b ok'],
    'an acquire that waits': [true, 'a > acquire; a ok; b > acquire; a > release; a ok; b ok'],
    'an acquire that did not wait': [false, 'a > acquire; a ok; b > acquire; b ok; a > release; a ok'],
    'a failed acquire': [true, 'a > acquire; a ok; b > acquire; b fail'],
    'an unknown acquire did happen': [true, 'a > acquire; a info; b > release; b ok'],
  },
)

table(
  'set',
  {},
  {
    'what was added is there': [true, 'a > add 1; a ok; b > read; b ok [1]'],
    'what was added is lost': [false, 'a > add 1; a ok; b > read; b ok []'],
    'what was there is lost later': [false, 'a > add 1; b > read; b ok [1]; b > read; b ok []; a ok'],
    'the order does not matter': [true, 'a > append 1; a ok; a > write 2; a ok; b > read; b ok [2,1]'],
    'from nowhere': [false, 'a > read; a ok [1]'],
    'before it was added': [false, 'a > read; a ok [1]; b > add 1; b ok'],
    'two views that exclude each other': [false, 'a > add 1; b > add 2; c > read; d > read; c ok [1]; d ok [2]; a ok; b ok'],
    'an unknown add, seen late': [true, 'a > add 1; a info; b > read; b ok []; b > read; b ok [1]'],
    'an unknown add, seen and lost': [false, 'a > add 1; a info; b > read; b ok [1]; b > read; b ok []'],
    'a failed add that is there': [false, 'a > add 1; a fail; b > read; b ok [1]'],
    'added twice': [true, 'a > add 1; a ok; b > add 1; b ok; c > read; c ok [1]'],
  },
)

table(
  'list-append',
  {},
  {
    'in order': [true, 'a > append 1; a ok; a > append 2; a ok; b > read; b ok [1,2]'],
    'in another order': [false, 'a > append 1; a ok; a > append 2; a ok; b > read; b ok [2,1]'],
    'in any order when at once': [true, 'a > append 1; b > append 2; a ok; b ok; c > read; c ok [2,1]'],
    lost: [false, 'a > append 1; a ok; b > read; b ok []'],
    'lost in the middle': [false, 'a > append 1; a ok; a > append 2; a ok; a > append 3; a ok; b > read; b ok [1,3]'],
    twice: [false, 'a > append 1; a ok; b > read; b ok [1,1]'],
    'equal ones, twice': [true, 'a > append 1; a ok; a > append 1; a ok; b > read; b ok [1,1]'],
    'equal ones, thrice': [false, 'a > append 1; a ok; a > append 1; a ok; b > read; b ok [1,1,1]'],
    'a fork': [false, 'a > append 1; b > append 2; c > read; d > read; c ok [1]; d ok [2]; a ok; b ok'],
    'unknown, there late': [true, 'a > append 1; a info; b > append 2; b ok; c > read; c ok [2]; c > read; c ok [2,1]'],
    'unknown, never there': [true, 'a > append 1; a info; b > append 2; b ok; c > read; c ok [2]'],
    'null is an empty list': [true, 'a > read; a ok null; a > append 1; a ok; a > read; a ok [1]'],
    'transactions, whole': [
      true,
      'a > txn [["append","x",1],["append","y",2]]; a ok; b > txn [["r","x",null],["r","y",null]]; b ok [["r","x",[1]],["r","y",[2]]]',
    ],
    'transactions, in half': [false, 'a > txn [["append","x",1],["append","x",2]]; b > txn [["r","x",null]]; b ok [["r","x",[1]]]; a ok'],
    'both appended to what they read': [
      false,
      'a > txn [["r","x",null],["append","x",1]]; b > txn [["r","x",null],["append","x",2]]; a ok [["r","x",[]],["append","x",1]]; b ok [["r","x",[]],["append","x",2]]',
    ],
    'last of all, with more that nobody read': [
      true,
      'a > txn [["append","x",1],["r","x",null],["append","x",2]]; a ok [["append","x",1],["r","x",[1]],["append","x",2]]',
    ],
  },
)

test('a witness names the key, the operation whose completion decided, and a small history', () => {
  const script = `a > x:write 1; a ok; a > x:write 2; a ok; c > y:write 9; c ok; b > x:read; b ok 2
    a > x:write 3; a ok; b > x:read; b ok 1; a > x:write 4; a ok; b > x:read; b ok 4`
  const verdict = checkLinearizable(events(script), { model: 'kv' })
  assert.equal(verdict.linearizable, false)
  assert.deepEqual(verdict.witness.keys, ['x'])
  assert.deepEqual(verdict.witness.operation, { line: 11, process: 'b', f: 'read', key: 'x', value: 1, outcome: 'ok' })
  assert.deepEqual(
    verdict.witness.subhistory?.map(({ f }) => f),
    ['write', 'write', 'read'],
  )
})

test('a null that was written is not a value that is missing', () => {
  for (const [model, f] of [
    ['set', 'add'],
    ['list-append', 'append'],
    ['cas-register', 'write'],
  ] as const) {
    const answer = model === 'cas-register' ? 'null' : '[null]'
    const verdict = checkLinearizable(events(`a > ${f} null; a ok; b > read; b ok ${answer}`), {
      model,
      initial: model === 'cas-register' ? 1 : [],
    })
    assert.equal(verdict.linearizable, true, model)
  }
})

test('limits of steps and of memory lead to unknown, and it says which', () => {
  const shape = { model: 'multi-register', clients: 40, operations: 600, keys: 5, values: 4, info: 0.2 } as const
  const history = generate(shape, new Random(1))
  const header: Header = { model: 'multi-register' }
  const hurried = checkLinearizable(history, header, { steps: 1_000 })
  assert.deepEqual([hurried.linearizable, (hurried.witness as Doubt).reason], ['unknown', 'limit'])
  const forgetful = checkLinearizable(history, header, { configurations: 100, steps: 10_000_000 })
  assert.deepEqual([forgetful.linearizable, (forgetful.witness as Doubt).reason], ['unknown', 'memory'])
})
