/** Just enough of TypeScript's grammar to tell code from comments, strings, templates and regular expressions. */

export interface Token {
  readonly kind: 'name' | 'string' | 'number' | 'punctuator' | 'regex' | 'template'
  /** The text as written; for a string, its content. */
  readonly text: string
  /** Counts from 1. */
  readonly line: number
}

/** After these a slash begins a regular expression, though they look like names. */
const beforeExpression = new Set(['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'else', 'do', 'await', 'yield'])

export function tokens(text: string): readonly Token[] {
  const found: Token[] = []
  let at = 0
  let line = 1
  scanCode(false)
  return found

  function push(kind: Token['kind'], content: string, from: number): void {
    found.push({ kind, text: content, line: from })
  }

  /** Reads code to the end, or, within a template, to the brace that closes the inserted expression. */
  function scanCode(inTemplate: boolean): void {
    let depth = 0
    while (at < text.length) {
      const character = text[at] as string
      if (character === '\n') {
        line++
        at++
      } else if (/\s/.test(character)) at++
      else if (text.startsWith('//', at)) skipTo('\n')
      else if (text.startsWith('/*', at)) skipTo('*/', 2)
      else if (character === "'" || character === '"') scanString(character)
      else if (character === '`') scanTemplate()
      else if (character === '/' && beginsRegex()) scanRegex()
      else if (/[\p{L}$_#]/u.test(character)) scanWhile('name', /[\p{L}\p{N}$_#]/u)
      else if (/\d/.test(character)) scanWhile('number', /[\w.]/)
      else {
        if (character === '{') depth++
        if (character === '}') {
          if (inTemplate && depth === 0) return
          depth--
        }
        const punctuator = ['...', '=>', '?.'].find((candidate) => text.startsWith(candidate, at)) ?? character
        push('punctuator', punctuator, line)
        at += punctuator.length
      }
    }
  }

  function skipTo(end: string, extra = 0): void {
    const found = text.indexOf(end, at)
    const stop = found < 0 ? text.length : found + extra
    line += text.slice(at, stop).split('\n').length - 1
    at = stop
  }

  function scanWhile(kind: Token['kind'], pattern: RegExp): void {
    const start = at
    while (at < text.length && pattern.test(text[at] as string)) at++
    push(kind, text.slice(start, at), line)
  }

  function scanString(quote: string): void {
    const start = ++at
    while (at < text.length && text[at] !== quote && text[at] !== '\n') at += text[at] === '\\' ? 2 : 1
    push('string', text.slice(start, at), line)
    at++
  }

  function scanTemplate(): void {
    const from = line
    at++
    while (at < text.length && text[at] !== '`') {
      if (text.startsWith('${', at)) {
        at += 2
        scanCode(true)
        at++
      } else {
        if (text[at] === '\n') line++
        at += text[at] === '\\' ? 2 : 1
      }
    }
    at++
    push('template', '', from)
  }

  function beginsRegex(): boolean {
    const before = found.at(-1)
    if (before === undefined) return true
    if (before.kind === 'name') return beforeExpression.has(before.text)
    if (before.kind === 'punctuator') return !(before.text === ')' || before.text === ']' || before.text === '}')
    return false
  }

  function scanRegex(): void {
    let inClass = false
    at++
    while (at < text.length && text[at] !== '\n' && (inClass || text[at] !== '/')) {
      if (text[at] === '[') inClass = true
      if (text[at] === ']') inClass = false
      at += text[at] === '\\' ? 2 : 1
    }
    at++
    while (at < text.length && /[a-z]/.test(text[at] as string)) at++
    push('regex', '', line)
  }
}
