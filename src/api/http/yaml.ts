/**
 * YAML in and out, in a thread of its own: a document of a thousand groups would hold up the loop, and with it the
 * heartbeats, for far longer than a peer waits before it asks what is wrong.
 */
import { Worker } from 'node:worker_threads'
import { ClusterError, fromPlain, type PlainError } from '../../base/index.js'

/** A larger document has to come as JSON. Bytes. */
const yamlMax = 262_144
const patience = 20_000

export type YamlTask = { readonly kind: 'parse'; readonly text: string } | { readonly kind: 'write'; readonly json: string }
/** Values travel as JSON text: reading them is quick. */
export type YamlResult = { readonly ok: true; readonly text: string } | { readonly ok: false; readonly error: PlainError }

/** Only what JSON can say too. Errors: BAD_YAML, TOO_LARGE. */
export async function parseYaml(text: string): Promise<unknown> {
  if (text.length > yamlMax) throw new ClusterError('TOO_LARGE', `the YAML document has ${text.length} bytes`, { fix: 'send it as JSON' })
  return JSON.parse(await run({ kind: 'parse', text }))
}

export function writeYaml(value: unknown): Promise<string> {
  return run({ kind: 'write', json: JSON.stringify(value) })
}

function run(task: YamlTask): Promise<string> {
  const worker = new Worker(new URL('./yaml-worker.js', import.meta.url), {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: 256 },
  })
  return new Promise((resolve, reject) => {
    const failed = (why: string): void =>
      reject(new ClusterError('BAD_YAML', `the document could not be read: ${why}`, { fix: 'send it as JSON' }))
    const timer = setTimeout(() => {
      failed('it takes too long')
      void worker.terminate()
    }, patience)
    worker.once('message', (result: YamlResult) => {
      if (result.ok) resolve(result.text)
      else reject(fromPlain(result.error))
    })
    worker.once('error', (error) => failed(error.message))
    worker.once('exit', () => {
      clearTimeout(timer)
      failed('its reader ended') // No more than a late word, where the result has come.
    })
  })
}
