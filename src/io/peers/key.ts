/** Keys for one purpose each, from the one secret of the cluster. */
import { hkdfSync } from 'node:crypto'

/** 32 bytes by HKDF-SHA256 (RFC 5869). Another `purpose` gives a key that tells nothing of this one. */
export function deriveKey(secret: string | Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, 'quorate', purpose, 32))
}
