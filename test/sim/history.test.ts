/** The check of clients' histories: what a register can have done, and what it cannot. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkRegister, type HistoryEvent } from './history.js'

/** `1 write a` asks, `1 ok` answers; for a read with what it saw, for a compare-and-set `a>b`. */
function history(text: string): readonly HistoryEvent[] {
  const asked = new Map<string, Pick<HistoryEvent, 'f' | 'value'>>()
  return text
    .trim()
    .split('\n')
    .map((line, at) => {
      const [process = '', word = '', given] = line.trim().split(' ')
      const common = { process: Number(process), key: 'x', time: at }
      if (word === 'ok' || word === 'fail' || word === 'info') {
        const { f, value } = asked.get(process) as Pick<HistoryEvent, 'f' | 'value'>
        return { ...common, type: word, f, value: f === 'read' ? (given ?? null) : value }
      }
      const f = word as HistoryEvent['f']
      const [from = '', to = ''] = (given ?? '').split('>')
      const value = f === 'read' ? null : f === 'write' ? (given ?? '') : ([from === '-' ? null : from, to] as const)
      asked.set(process, { f, value })
      return { ...common, type: 'invoke' as const, f, value }
    })
}

const possible = {
  'a read sees the last write': '1 write a\n1 ok\n2 read\n2 ok a',
  'a read beside a write sees it or not': '1 write a\n2 read\n2 ok\n3 read\n3 ok a\n1 ok',
  'what nobody answered may have been done': '1 write a\n1 info\n2 read\n2 ok a',
  'or never': '1 write a\n1 info\n2 read\n2 ok',
  'or later': '1 write a\n1 info\n2 write b\n2 ok\n3 read\n3 ok b\n3 read\n3 ok a',
  'a compare-and-set finds what it expects': '1 write a\n1 ok\n2 cas a>b\n2 ok\n3 read\n3 ok b',
  'a read without an answer counts for nothing': '1 write a\n1 ok\n2 read\n2 info\n3 read\n3 ok a',
}

const impossible = {
  'a stale read': '1 write a\n1 ok\n1 write b\n1 ok\n2 read\n2 ok a',
  'a write that is lost': '1 write a\n1 ok\n2 read\n2 ok',
  'a write that is done twice': '1 write a\n2 write b\n1 ok\n2 ok\n3 read\n3 ok a\n3 read\n3 ok b\n3 read\n3 ok a',
  'reads that go back': '1 write a\n2 read\n2 ok a\n2 read\n2 ok\n1 ok',
  'two compare-and-sets of the same value': '1 write a\n1 ok\n2 cas a>b\n3 cas a>c\n2 ok\n3 ok',
  'what was refused is seen': '1 write a\n1 fail\n2 read\n2 ok a',
}

describe('a register', () => {
  for (const [name, text] of Object.entries(possible)) test(`can: ${name}`, () => assert.equal(checkRegister(history(text)), undefined))
  for (const [name, text] of Object.entries(impossible))
    test(`cannot: ${name}`, () => assert.match(checkRegister(history(text)) ?? '', /no order/))
})
