/** `msgpackr` is loaded: decoders are what they were. */
import { ordinary } from './whole-texts-begin.js'

globalThis.TextDecoder = ordinary
