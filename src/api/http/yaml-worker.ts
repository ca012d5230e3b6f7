/** The thread that reads or writes one YAML document. */
import { parentPort, workerData } from 'node:worker_threads'
import { parseDocument, stringify } from 'yaml'
import { ClusterError } from '../../base/index.js'
import type { YamlResult, YamlTask } from './yaml.js'

const task = workerData as YamlTask
parentPort?.postMessage(perform(task))

function perform(task: YamlTask): YamlResult {
  try {
    return { ok: true, text: task.kind === 'parse' ? JSON.stringify(read(task.text)) : stringify(JSON.parse(task.json)) }
  } catch (error) {
    const problem =
      error instanceof ClusterError ? error : new ClusterError('BAD_YAML', (error as Error).message, { fix: 'write it without aliases' })
    return { ok: false, error: problem.toPlain() }
  }
}

function read(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, strict: true, uniqueKeys: true, stringKeys: true })
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const { line, col } = problem.linePos?.[0] ?? { line: 1, col: 1 }
    throw new ClusterError('BAD_YAML', problem.message.split('\n')[0] ?? 'not YAML', {
      fix: 'correct the document at that place',
      facts: { line, column: col },
    })
  }
  // Aliases are resolved (bounded); `.nan` and the like are refused.
  return plain(document.toJS({ maxAliasCount: 50 }), 0)
}

function plain(value: unknown, depth: number): unknown {
  if (depth > 100) throw new ClusterError('BAD_YAML', 'nested deeper than 100')
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number' && Number.isFinite(value)) return value
  if (Array.isArray(value)) return value.map((item) => plain(item, depth + 1))
  if (typeof value === 'object' && Object.getPrototypeOf(value) === Object.prototype) {
    if (Object.hasOwn(value, '__proto__')) throw new ClusterError('BAD_YAML', 'the key "__proto__" is not allowed')
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plain(item, depth + 1)]))
  }
  throw new ClusterError('BAD_YAML', `${String(value)} cannot be written in JSON`, { fix: 'use texts, numbers, true, false and null' })
}
