/** Runs of the chaos harness against a cluster as its hosts' owner would start them: as a program, with a file that says how hosts are reached. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { OwnCluster } from '../../jepsen-like/cluster/index.js'
import type { Verdict } from '../../jepsen-like/judges/index.js'
import { waitFor } from '../../scripts/lib/http.js'
import { projectRoot } from '../../scripts/lib/lab.js'

export interface HostsRun {
  readonly status: number | null
  readonly out: string
  readonly verdicts: readonly Verdict[]
  readonly figures: { readonly faults: number; readonly faultsByKind: Readonly<Record<string, number>> }
}

export interface HostsRuns {
  readonly folder: string
  /** `onOutput` is told all that was said so far, and the process. */
  run(args: readonly string[], onOutput?: (out: string, end: (signal: NodeJS.Signals) => void) => void): Promise<HostsRun>
  close(): void
}

/** `hosts` is the file, as a value. */
export function hostsRuns(hosts: unknown, prefix: readonly string[] = []): HostsRuns {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-hosts-'))
  const file = join(folder, 'hosts.yaml')
  writeFileSync(file, stringify(hosts))
  const running = new Set<ReturnType<typeof spawn>>()
  return {
    folder,
    run: (args, onOutput = () => undefined) =>
      new Promise((resolve) => {
        const words = [...prefix, process.execPath, join(projectRoot, 'dist/jepsen-like/run.js'), '--hosts', file, '--out', folder, ...args]
        const child = spawn(words[0] as string, words.slice(1), { stdio: ['ignore', 'pipe', 'pipe'] })
        running.add(child)
        let out = ''
        for (const stream of [child.stdout, child.stderr])
          stream.setEncoding('utf8').on('data', (text: string) => {
            out += text
            onOutput(out, (signal) => void child.kill(signal))
          })
        child.once('close', (status) => {
          running.delete(child)
          const report = /^report: (.*)report\.html$/m.exec(out)?.[1]
          const results = report === undefined ? {} : JSON.parse(readFileSync(join(report, 'results.json'), 'utf8'))
          resolve({ status, out, verdicts: results.verdicts ?? [], figures: results.figures ?? { faults: 0, faultsByKind: {} } })
        })
      }),
    close: () => {
      for (const child of running) child.kill('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function assertJudged({ status, out, verdicts }: HostsRun, valid: readonly string[]): void {
  assert.equal(status, 0, out)
  for (const judge of valid) {
    const given = verdicts.filter((verdict) => verdict.judge === judge)
    assert.ok(given.length > 0 && given.every((verdict) => verdict.valid === true), `${judge}: ${JSON.stringify(given)}\n${out}`)
  }
}

export function waitUntilWell(cluster: OwnCluster): Promise<void> {
  return waitFor('the cluster to be well', 120_000, async () => (await cluster.isWell()) === undefined)
}

/** Nothing of a run is in the store or at the nodes. */
export async function assertTidy(cluster: OwnCluster): Promise<void> {
  const { body } = await cluster.ask('GET', '/v1/store?prefix=chaos&limit=10')
  assert.deepEqual(body.items, [])
  for (const node of cluster.names) {
    const about = (await cluster.ask('GET', `/v1/nodes/${node}`)).body
    assert.deepEqual(about.attributes ?? {}, {}, node)
  }
}
