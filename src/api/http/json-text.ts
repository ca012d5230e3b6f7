/**
 * Reads JSON (RFC 8259) and says where it is wrong.
 *
 * The engine's own parser gives no position in some versions, keeps the last of two equal keys and takes `1e999` for
 * infinity; a request with any of that is refused, for nothing that was sent may be dropped.
 */
import { ClusterError } from '../../base/index.js'

const depthMax = 100
const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const plainText = /[ !#-[\]-\uffff]*/y

/** Errors: BAD_JSON, with the position. */
export function parseJson(text: string): unknown {
  const reader = new Reader(text)
  const value = reader.value(0)
  reader.end()
  return value
}

class Reader {
  private readonly text: string
  private at = 0

  constructor(text: string) {
    this.text = text
  }

  value(depth: number): unknown {
    if (depth > depthMax) throw this.wrong(`nested deeper than ${depthMax}`)
    this.space()
    switch (this.text[this.at]) {
      case '{':
        return this.object(depth)
      case '[':
        return this.array(depth)
      case '"':
        return this.string()
      case 't':
        return this.word('true', true)
      case 'f':
        return this.word('false', false)
      case 'n':
        return this.word('null', null)
      default:
        return this.number()
    }
  }

  end(): void {
    this.space()
    if (this.at < this.text.length) throw this.wrong('nothing more was expected')
  }

  private object(depth: number): Record<string, unknown> {
    const found: Record<string, unknown> = {}
    this.at++
    this.space()
    if (this.takes('}')) return found
    for (;;) {
      this.space()
      const keyAt = this.at
      if (this.text[this.at] !== '"') throw this.wrong('a key in double quotes was expected')
      const key = this.string()
      if (key === '__proto__') throw this.wrong('the key "__proto__" is not allowed', keyAt)
      if (Object.hasOwn(found, key)) throw this.wrong(`the key ${JSON.stringify(key.slice(0, 40))} is there twice`, keyAt)
      this.space()
      if (!this.takes(':')) throw this.wrong('":" was expected')
      found[key] = this.value(depth + 1)
      this.space()
      if (this.takes('}')) return found
      if (!this.takes(',')) throw this.wrong('"," or "}" was expected')
    }
  }

  private array(depth: number): unknown[] {
    const found: unknown[] = []
    this.at++
    this.space()
    if (this.takes(']')) return found
    for (;;) {
      found.push(this.value(depth + 1))
      this.space()
      if (this.takes(']')) return found
      if (!this.takes(',')) throw this.wrong('"," or "]" was expected')
    }
  }

  private string(): string {
    const start = this.at
    let isPlain = true
    this.at++
    for (;;) {
      plainText.lastIndex = this.at
      if (plainText.test(this.text)) this.at = plainText.lastIndex
      const next = this.text[this.at]
      if (next === '"') break
      if (next !== '\\') throw this.wrong(next === undefined ? 'a text is not closed' : 'a control character has to be escaped in a text')
      isPlain = false
      this.escape()
    }
    this.at++
    if (isPlain) return this.text.slice(start + 1, this.at - 1)
    // Checked above: what is left to the engine is only the decoding of escapes.
    return JSON.parse(this.text.slice(start, this.at)) as string
  }

  private escape(): void {
    const kind = this.text[this.at + 1]
    if (kind === 'u') {
      if (!/^[0-9a-fA-F]{4}$/.test(this.text.slice(this.at + 2, this.at + 6))) throw this.wrong('\\u takes four hexadecimal digits')
      this.at += 6
    } else if (kind !== undefined && '"\\/bfnrt'.includes(kind)) this.at += 2
    else throw this.wrong('there is no such escape')
  }

  private number(): number {
    numberPattern.lastIndex = this.at
    const found = numberPattern.exec(this.text)?.[0]
    if (found === undefined) throw this.wrong(this.at >= this.text.length ? 'the text ends too early' : 'a value was expected')
    const value = Number(found)
    if (!Number.isFinite(value)) throw this.wrong('the number is too large')
    this.at += found.length
    return value
  }

  private word<Value>(word: string, value: Value): Value {
    if (!this.text.startsWith(word, this.at)) throw this.wrong('a value was expected')
    this.at += word.length
    return value
  }

  private takes(character: string): boolean {
    if (this.text[this.at] !== character) return false
    this.at++
    return true
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at)
      if (code !== 32 && code !== 10 && code !== 13 && code !== 9) return
      this.at++
    }
  }

  private wrong(what: string, at = this.at): ClusterError {
    const before = this.text.slice(0, at)
    const line = before.split('\n').length
    const column = at - before.lastIndexOf('\n')
    const near = this.text.slice(Math.max(0, at - 15), at + 15)
    return new ClusterError('BAD_JSON', `${what}, at line ${line}, column ${column} (near ${JSON.stringify(near)})`, {
      fix: 'correct the body at that place; in a shell, put it in single quotes',
      facts: { position: at, line, column },
    })
  }
}
