/** Puts at full load for long: nobody may lose the lead for it. */
import { request } from '../../lib/http.js'
import { runClient } from './run-client.js'
import { type System, settle } from './system.js'

export interface LoadFigures {
  readonly minutes: number
  readonly putsPerSecond: number
  readonly p99: number
  readonly errors: number
  /** Terms that began meanwhile: 0 unless somebody stood for election. */
  readonly elections: number
}

export async function measureLoad(system: System, minutes: number): Promise<LoadFigures> {
  const { leader } = await settle(system)
  const term = async (): Promise<number> =>
    Number((await request(`http://${system.target(leader)}`, 'GET', '/livez')).headers['quorate-term'])
  const before = await term()
  const { perSecond, p99, errors } = await runClient(system, {
    protocol: 'quorate',
    operation: 'put',
    targets: [system.target(leader)],
    clients: 64,
    warmUpMs: 500,
    measureMs: minutes * 60_000,
    valueBytes: 256,
    keys: 10_000,
    operations: 1,
  })
  return { minutes, putsPerSecond: perSecond, p99, errors, elections: (await term()) - before }
}
