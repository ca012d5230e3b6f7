/**
 * `msgpackr` makes its decoder of texts when it is loaded, and an ordinary one takes a mark of byte order off the beginning of a text:
 * what was written would not be what is read. While it is loaded, decoders leave such a mark where it is.
 */
export const ordinary = globalThis.TextDecoder

globalThis.TextDecoder = class extends ordinary {
  constructor(label?: string, options?: ConstructorParameters<typeof ordinary>[1]) {
    super(label, { ...options, ignoreBOM: true })
  }
}
