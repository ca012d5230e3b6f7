import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  ClusterError,
  checkSettings,
  crc32c,
  crc32cOfText,
  decode,
  type ErrorCode,
  effectiveSettings,
  encode,
  errorTable,
  formatDuration,
  formatSize,
  fromPlain,
  groupName,
  invariant,
  isName,
  logIndex,
  nearestName,
  nodeId,
  parseDuration,
  parseSize,
  patchSettings,
  profiles,
  settingKeys,
  settings,
  tokenAt,
} from '../../src/base/index.js'

function refused(code: ErrorCode, detail: RegExp, fix?: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ClusterError, String(error))
    assert.equal(error.code, code)
    assert.match(error.message, detail)
    if (fix !== undefined) assert.match(error.fix ?? '', fix)
    return true
  }
}

describe('sizes', () => {
  for (const [text, bytes] of [
    ['512MiB', 536_870_912],
    ['1.5GiB', 1_610_612_736],
    ['10GB', 10_000_000_000],
    ['7B', 7],
    [4_096, 4_096],
    ['0', 0],
  ] as const)
    test(`${JSON.stringify(text)} is ${bytes} bytes`, () => assert.equal(parseSize(text), bytes))

  for (const text of ['', 'much', '5 MiB', '-1KiB', '512M', '1e9', '5mb', '99999999999TiB'])
    test(`${JSON.stringify(text)} is no size`, () => assert.throws(() => parseSize(text), refused('INVALID', /is not a size/, /512MiB/)))

  test('what is written is read as the same', () => {
    fc.assert(
      fc.property(
        fc.nat(2 ** 31 - 1),
        fc.constantFrom(1, 2 ** 10, 2 ** 20),
        (count, unit) => parseSize(formatSize(count * unit)) === count * unit,
      ),
    )
    assert.deepEqual([formatSize(2 ** 30), formatSize(1_536), formatSize(1_000)], ['1GiB', '1536B', '1000B'])
  })
})

describe('durations', () => {
  const good: readonly [string | number, number][] = [
    ['250ms', 250],
    ['5s', 5_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['0', 0],
    [' 300 ', 300],
    [40, 40],
    ['0.5s', 500],
  ]
  for (const [text, span] of good) test(`${JSON.stringify(text)} is ${span} ms`, () => assert.equal(parseDuration(text), span))

  for (const text of [
    '',
    'soon',
    '5 s',
    '-1s',
    '1w',
    '5S',
    '1e3',
    '0x10',
    '.5s',
    '5.s',
    'NaN',
    '1s2s',
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -3,
  ]) {
    test(`${JSON.stringify(text)} (${text}) is none`, () =>
      assert.throws(() => parseDuration(text), refused('INVALID', /is not a duration/, /for example 5s/)))
  }

  const shown: readonly [number, string][] = [
    [5_000, '5s'],
    [250, '250ms'],
    [1_500, '1.5s'],
    [90_000, '90s'],
    [120_000, '2m'],
    [86_400_000, '1d'],
    [0, '0ms'],
  ]
  for (const [span, text] of shown) test(`${span} ms is written ${text}`, () => assert.equal(formatDuration(span), text))

  test('what is written is read back', () => {
    fc.assert(fc.property(fc.nat(10_000_000_000), (span) => assert.equal(parseDuration(formatDuration(span)), span)))
  })
})

describe('crc32c', () => {
  // RFC 3720 appendix B.4, and the check value of the catalogue of parametrised CRCs.
  const vectors: readonly [string, Uint8Array, number][] = [
    ['nothing', new Uint8Array(), 0],
    ['"123456789"', Buffer.from('123456789'), 0xe3069283],
    ['32 zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 times 0xff', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['0 to 31', Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd794e],
    ['31 to 0', Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113fdb5c],
  ]
  test('of a text is that of its UTF-8', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => assert.equal(crc32cOfText(text), crc32c(new TextEncoder().encode(text)))),
    )
    assert.equal(crc32cOfText('key-ä', crc32cOfText('store\0')), crc32cOfText('store\0key-ä'))
    assert.equal(crc32cOfText('key', crc32cOfText('store\0')), crc32cOfText('store\0key'))
    assert.equal(crc32cOfText('store\0key-ä'), crc32c(new TextEncoder().encode('store\0key-ä')))
  })

  for (const [name, bytes, checksum] of vectors) test(name, () => assert.equal(crc32c(bytes), checksum))

  test('continues from what came before', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, at) => {
        const split = Math.min(at, bytes.length)
        assert.equal(crc32c(bytes.subarray(split), crc32c(bytes.subarray(0, split))), crc32c(bytes))
      }),
    )
  })
})

describe('names', () => {
  for (const name of ['a', 'n1', 'web-1.example_x', 'A', '0', 'x'.repeat(63)]) test(`${name} is a name`, () => assert.ok(isName(name)))
  for (const name of ['', '-a', 'a-', '.a', 'a.', '_', 'a b', 'a/b', 'ä', 'x'.repeat(64), 'a\n', 'a\0']) {
    test(`${JSON.stringify(name)} is none`, () => {
      assert.equal(isName(name), false)
      assert.throws(() => nodeId(name), refused('INVALID_NAME', /cannot name a node/, /1 to 63/))
      assert.throws(() => groupName(name), refused('INVALID_NAME', /cannot name a group/))
    })
  }

  test('the nearest name is the one that was meant, and none when none is near', () => {
    assert.equal(nearestName('leese', ['lease', 'query', 'condemned']), 'lease')
    assert.equal(nearestName('HEARTBEATINTERVAL', settingKeys), 'heartbeatInterval')
    assert.equal(nearestName('zzzzzz', ['lease', 'query']), undefined)
    assert.equal(nearestName('x', []), undefined)
  })
})

describe('errors', () => {
  test('keep code, detail, fix and facts on their way to another node', () => {
    const error = new ClusterError('CONFLICT', 'no', { fix: 'do that', facts: { a: 1 } })
    const back = fromPlain(JSON.parse(JSON.stringify(error.toPlain())))
    assert.deepEqual([back.code, back.message, back.fix, back.facts], ['CONFLICT', 'no', 'do that', { a: 1 }])
    assert.deepEqual(new ClusterError('CONFLICT', 'no').toPlain(), { code: 'CONFLICT', detail: 'no' })
  })

  test('every code has a status of its class and a text without a capital or full stop', () => {
    for (const [code, { httpStatus, text }] of Object.entries(errorTable)) {
      assert.ok(httpStatus >= 400 && httpStatus < 600, code)
      assert.match(text, /^[^A-Z].*[^.]$|^the Host/, code)
    }
  })

  test('a broken invariant names its facts and is no operating error', () => {
    assert.throws(
      () => invariant(false, 'a log has no holes', { at: 3 }),
      (error: Error) => !(error instanceof ClusterError) && error.message === 'does not hold: a log has no holes {"at":3}',
    )
    assert.throws(() => logIndex(-1), /whole number/)
    assert.throws(() => logIndex(1.5), /whole number/)
  })

  test('a later epoch has larger tokens', () => {
    assert.ok(tokenAt(1, logIndex(1)) > tokenAt(0, logIndex(2 ** 40 - 1)))
    assert.throws(() => tokenAt(0, logIndex(2 ** 40)), /fewer than 2\^40/)
  })
})

describe('settings', () => {
  for (const profile of profiles) {
    test(`the ${profile} profile holds together and is within its own bounds`, () => {
      const values = effectiveSettings({ profile })
      assert.equal(checkSettings(values), undefined)
      for (const key of settingKeys) {
        const setting = settings[key]
        if (setting.kind === 'switch') continue
        assert.ok((values[key] as number) >= setting.min && (values[key] as number) <= setting.max, key)
      }
    })
  }

  test('a patch takes durations as text, and null returns to the profile', () => {
    const chosen = patchSettings({}, { lease: '4s', fencingMax: 3, profile: 'fast', acceptGuardianLease: true })
    assert.deepEqual(chosen, { lease: 4_000, fencingMax: 3, profile: 'fast', acceptGuardianLease: true })
    assert.deepEqual(patchSettings(chosen, { lease: null, acceptGuardianLease: null }), { fencingMax: 3, profile: 'fast' })
    assert.equal(effectiveSettings(chosen).query, 150)
  })

  const wrong: readonly [string, Record<string, unknown>, ErrorCode, RegExp, RegExp][] = [
    ['an unknown key', { leas: '3s' }, 'UNKNOWN_KEY', /no setting "leas"/, /did you mean "lease"/],
    ['a far unknown key', { qqqqqqqq: 1 }, 'UNKNOWN_KEY', /no setting/, /GET \/v1\/settings/],
    ['an inherited key', { constructor: 1 }, 'UNKNOWN_KEY', /no setting "constructor"/, /./],
    ['an unknown profile', { profile: 'faster' }, 'INVALID', /profile is "faster"/, /fast, normal, slow/],
    ['a number below its bounds', { lease: 1 }, 'INVALID', /lease is 1/, /between 1s and 2m/],
    ['a duration above its bounds', { lease: '1h' }, 'INVALID', /lease is "1h"/, /between 1s and 2m/],
    ['a text for a count', { fencingMax: '3' }, 'INVALID', /fencingMax is "3"/, /whole number/],
    ['a broken count', { fencingMax: 1.5 }, 'INVALID', /fencingMax is 1.5/, /between 1 and 1000/],
    ['a number for a switch', { acceptGuardianLease: 1 }, 'INVALID', /acceptGuardianLease is 1/, /true or false/],
    ['a duration that is none', { lease: 'soon' }, 'INVALID', /"soon" is not a duration/, /5s/],
    ['a list', { lease: [3_000] }, 'INVALID', /lease is \[3000\]/, /duration/],
    [
      'query above challenge',
      { query: 700 },
      'IMPOSSIBLE_SETTINGS',
      /query < challenge does not hold: 700 < 675/,
      /change query or challenge/,
    ],
    ['equal values', { query: 675 }, 'IMPOSSIBLE_SETTINGS', /675 < 675/, /./],
    ['a short lease', { lease: 1_000 }, 'IMPOSSIBLE_SETTINGS', /3 × 400 \+ 1500 < 1000/, /electionTimeoutMax or daemonRestart or lease/],
    ['a slow heartbeat', { raftHeartbeat: 100 }, 'IMPOSSIBLE_SETTINGS', /2 × 100 < 200/, /raftHeartbeat/],
  ]
  for (const [name, patch, code, detail, fix] of wrong) {
    test(`${name} is refused`, () => assert.throws(() => patchSettings({}, patch), refused(code, detail, fix)))
  }

  test('a set is checked as a whole: what is wrong one by one may be right together', () => {
    assert.throws(() => patchSettings({}, { query: 700 }), refused('IMPOSSIBLE_SETTINGS', /query/))
    assert.equal(patchSettings({}, { query: 700, challenge: 800 }).query, 700)
  })
})

describe('the binary form', () => {
  test('a text is read as it was written, a mark of byte order at its beginning too', () => {
    const text = fc.tuple(fc.constantFrom('', '\uFEFF', '\uFEFF\uFEFF'), fc.string({ unit: 'grapheme', maxLength: 300 }))
    fc.assert(
      fc.property(text, ([begin, rest]) => {
        const whole = begin + rest
        assert.deepEqual(decode(encode({ [`k${whole}`]: [whole] })), { [`k${whole}`]: [whole] })
      }),
      { numRuns: 3_000 },
    )
  })

  test('decoders of others are ordinary ones', () => {
    assert.equal(new TextDecoder().decode(Buffer.from('\uFEFFa')), 'a')
  })
})
