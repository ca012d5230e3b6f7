/** A reporter for Node's test runner: one JSON text of what a run came to: counts, what was skipped and why, what failed and with which words, seconds by file. */
const count = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/

export default async function* tally(source) {
  const counts = {}
  const skipped = []
  const failures = []
  const seconds = {}
  for await (const { type, data } of source) {
    if (type === 'test:diagnostic') {
      const [, name, number] = count.exec(data.message) ?? []
      if (name !== undefined) counts[name] = Number(number)
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    if (data.skip !== undefined) skipped.push([data.name, data.skip === true || data.skip === '' ? 'it was skipped' : data.skip])
    const error = type === 'test:fail' ? data.details.error : undefined
    // A suite fails because of what is in it: that is listed itself.
    if (error !== undefined && error.failureType !== 'subtestsFailed')
      failures.push([data.name, data.file ?? '', wordsOf(error.cause ?? error)])
    if (data.nesting !== 0 || data.file === undefined) continue
    const file = data.file.replace(/^.*\/dist\//, '')
    seconds[file] = (seconds[file] ?? 0) + data.details.duration_ms / 1_000
  }
  yield JSON.stringify({ counts, skipped, failures, seconds })
}

/** What it says of itself, and where in the tests it was thrown. */
function wordsOf(error) {
  const text = String(error?.message ?? error)
  const place = /\((?:file:\/\/)?[^()]*\/dist\/(test\/[^()]*)\)/.exec(error?.stack ?? '')?.[1]
  return place === undefined ? text : `${text}\nat ${place}`
}
