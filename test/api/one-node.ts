/** One whole node as real processes: a guardian that starts its daemon and its monitor, without others. */
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Power } from '../../scripts/lib/power.js'
import { BenchCluster } from './bench-api.js'

const main = fileURLToPath(new URL('../../src/main.js', import.meta.url))

export interface OneNode {
  readonly bench: BenchCluster
  readonly power: Power
  readonly runDir: string
  close(): Promise<void>
}

/** Answers when it is well. */
export async function raiseOneNode(): Promise<OneNode> {
  const bench = await BenchCluster.of(['n1'], { emergencyStop: '1s' })
  const home = join(bench.folder, 'n1')
  const runDir = join(home, 'run')
  const power = new Power({
    node: 'n1',
    home,
    runDir,
    argv: [process.execPath, main, 'guardian', '--config', bench.configOf('n1')],
  })
  await power.on()
  await bench.until('the node to be well', async () => {
    const { body } = await bench.ask('GET', '/v1/status').catch(() => ({ body: undefined }))
    return body?.nodes?.[0]?.state === 'ONLINE' && body.nodes[0].guarded === true
  })
  const close = async () => {
    await power.clean()
    await bench.close()
  }
  return { bench, power, runDir, close }
}
