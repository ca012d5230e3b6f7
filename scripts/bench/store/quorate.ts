/** Three Quorate nodes, each with all of its processes, their data folders on the disk that the folder lies on. */
import { join } from 'node:path'
import { request } from '../../lib/http.js'
import { freePort, type LabNode, makeLab } from '../../lib/lab.js'
import { type Name, names, type Place, type System, settle } from './system.js'

export async function startQuorate(folder: string, place: Place, environment: Readonly<Record<string, string>>): Promise<System> {
  const addresses = names.map((name) => place.address(name))
  const isLocal = addresses.every((address) => address.startsWith('127.'))
  const base = isLocal ? await freePort(addresses, 17_600) : 17_600
  const apiBase = isLocal ? await freePort(addresses, base + 40) : base + 40
  const nodes: LabNode[] = names.map((name) => ({
    name,
    address: place.address(name),
    port: base,
    guardianPort: base + 1,
    apiPort: apiBase,
    prefix: place.prefix(name),
  }))
  const lab = await makeLab({ name: 'bench', home: folder, run: join(folder, 'run'), nodes, environment })
  const ask = (name: Name, path: string) => request(lab.local(name), 'GET', path, undefined, { timeoutMs: 2_000 })
  const applied = async (name: Name): Promise<number> => {
    const { status, headers } = await ask(name, '/livez')
    return status === 0 || headers['quorate-index'] === undefined ? -1 : Number(headers['quorate-index'])
  }
  const leader = async (): Promise<Name | undefined> => {
    const told = await Promise.all(names.map(async (name) => (await ask(name, '/livez')).headers['quorate-leader']))
    return names.find((name) => told.filter((one) => one === name).length >= 2)
  }
  const system: System = {
    kind: 'quorate',
    target: (name) => `${place.address(name)}:${apiBase}`,
    leader,
    applied,
    settled: async () => {
      const [lead, indexes] = [await leader(), await Promise.all(names.map(applied))]
      return lead !== undefined && Math.min(...indexes) > 0 && Math.max(...indexes) - Math.min(...indexes) < 5
    },
    pids: (name) => lab.power.get(name)?.pids() ?? [],
    kill: (name) => void lab.power.get(name)?.crash(),
    start: async (name) => lab.power.get(name)?.on(),
    folder: (name) => join(folder, name, 'data'),
    close: () => lab.close(),
  }
  await Promise.all(names.map((name) => system.start(name)))
  await settle(system)
  return system
}
