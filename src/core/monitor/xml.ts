/** Reads small XML documents, as OCF agents print them: elements, attributes, text, CDATA, entities. No namespaces, no document types. */

export interface XmlElement {
  readonly name: string
  readonly attributes: { readonly [name: string]: string }
  readonly children: readonly XmlElement[]
  /** The text directly in it, joined and trimmed. */
  readonly text: string
}

const depthMax = 64

/** The root element; undefined for anything that is not well-formed. */
export function parseXml(source: string): XmlElement | undefined {
  const reader = new XmlReader(source)
  try {
    return reader.document()
  } catch (error) {
    if (error instanceof MalformedXml) return undefined
    throw error
  }
}

class MalformedXml extends Error {}

class XmlReader {
  readonly #source: string
  #at = 0

  constructor(source: string) {
    this.#source = source
  }

  document(): XmlElement {
    this.#skipProlog()
    const root = this.#element(0)
    this.#skipProlog()
    if (this.#at !== this.#source.length) throw new MalformedXml('text after the root element')
    return root
  }

  /** White space, declarations, comments and the document type. */
  #skipProlog() {
    for (;;) {
      this.#take(/\s*/y)
      if (this.#take(/<\?[\s\S]*?\?>|<!--[\s\S]*?-->|<!DOCTYPE[^[>]*(?:\[[^\]]*\])?[^>]*>/y) === undefined) return
    }
  }

  #element(depth: number): XmlElement {
    if (depth > depthMax) throw new MalformedXml('too deep')
    const name = this.#take(/<([A-Za-z_][\w.:-]*)/y)?.[1]
    if (name === undefined) throw new MalformedXml('an element was expected')
    const attributes: Record<string, string> = {}
    for (;;) {
      const attribute = this.#take(/\s+([A-Za-z_][\w.:-]*)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y)
      if (attribute === undefined) break
      attributes[attribute[1] as string] = decodeEntities(attribute[2] ?? attribute[3] ?? '')
    }
    const open = this.#take(/\s*(\/?)>/y)
    if (open === undefined) throw new MalformedXml(`<${name}> does not end`)
    if (open[1] === '/') return { name, attributes, children: [], text: '' }
    const { children, text } = this.#content(name, depth)
    return { name, attributes, children, text: text.trim() }
  }

  #content(name: string, depth: number): { children: XmlElement[]; text: string } {
    const children: XmlElement[] = []
    let text = ''
    for (;;) {
      const plain = this.#take(/[^<]+/y)
      if (plain !== undefined) text += decodeEntities(plain[0])
      const end = this.#take(/<\/([A-Za-z_][\w.:-]*)\s*>/y)
      if (end !== undefined) {
        if (end[1] !== name) throw new MalformedXml(`<${name}> ends as ${end[1]}`)
        return { children, text }
      }
      const data = this.#take(/<!\[CDATA\[([\s\S]*?)\]\]>/y)
      if (data !== undefined) text += data[1]
      else if (this.#take(/<!--[\s\S]*?-->|<\?[\s\S]*?\?>/y) === undefined) children.push(this.#element(depth + 1))
    }
  }

  #take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#source)
    if (match === null) return undefined
    this.#at = pattern.lastIndex
    return match
  }
}

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** An entity that is not known stays as it is written. */
function decodeEntities(text: string): string {
  return text.replace(/&(?:#x([0-9a-f]{1,6})|#(\d{1,7})|(\w+));/gi, (whole, hex?: string, decimal?: string, name?: string) => {
    if (name !== undefined) return entities[name] ?? whole
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}
