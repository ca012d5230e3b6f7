/** A reporter for Node's test runner: one JSON text of what a run came to: counts, what was skipped and why, seconds by file. */
const count = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/

export default async function* tally(source) {
  const counts = {}
  const skipped = []
  const seconds = {}
  for await (const { type, data } of source) {
    if (type === 'test:diagnostic') {
      const [, name, number] = count.exec(data.message) ?? []
      if (name !== undefined) counts[name] = Number(number)
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    if (data.skip !== undefined) skipped.push([data.name, data.skip === true || data.skip === '' ? 'it was skipped' : data.skip])
    if (data.nesting !== 0 || data.file === undefined) continue
    const file = data.file.replace(/^.*\/dist\//, '')
    seconds[file] = (seconds[file] ?? 0) + data.details.duration_ms / 1_000
  }
  yield JSON.stringify({ counts, skipped, seconds })
}
