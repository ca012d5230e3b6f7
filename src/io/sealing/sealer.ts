/**
 * Passwords of fence devices and arrays as the log has them: sealed by a key from the cluster's secret, so that neither the data folder
 * nor a backup tells them. AES-256-GCM (NIST SP 800-38D).
 *
 * The nonce is taken from the text itself (HMAC-SHA256, as in RFC 5297 in spirit): the same password sealed again is the same text, and
 * no change of the configuration. That two devices have the same one can be seen; nothing else can.
 */
import { createCipheriv, createDecipheriv, createHmac } from 'node:crypto'
import { ClusterError } from '../../base/index.js'
import { isSealed, sealedMark } from '../../core/cluster/index.js'
import { deriveKey } from '../peers/index.js'

export interface Sealer {
  seal(text: string): string
  /** What is not sealed comes back as it is: it was written before there were seals. Errors: INVALID when another secret has sealed it. */
  open(text: string): string
}

const nonceBytes = 12
const tagBytes = 16

export function openSealer(secret: string): Sealer {
  const key = deriveKey(secret, 'seal')
  const nonceKey = deriveKey(secret, 'seal nonce')
  return {
    seal(text) {
      const nonce = createHmac('sha256', nonceKey).update(text).digest().subarray(0, nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes })
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return sealedMark + Buffer.concat([nonce, cipher.getAuthTag(), body]).toString('base64')
    },
    open(text) {
      if (!isSealed(text)) return text
      const bytes = Buffer.from(text.slice(sealedMark.length), 'base64')
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes })
        decipher.setAuthTag(bytes.subarray(nonceBytes, nonceBytes + tagBytes))
        return Buffer.concat([decipher.update(bytes.subarray(nonceBytes + tagBytes)), decipher.final()]).toString('utf8')
      } catch {
        throw new ClusterError('INVALID', 'a password was sealed under another secret of the cluster', { fix: 'give the password again' })
      }
    },
  }
}
