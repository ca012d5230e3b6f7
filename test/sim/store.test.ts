/** The simulator's store keeps the contract of the real one. */
import { storeContract } from '../io/store/contract.js'
import { SimStore } from './disk.js'
import { Process } from './process.js'
import { World } from './world.js'

storeContract('simulated', () => {
  const world = new World({ nodes: 1 })
  const [machine] = world.machines
  if (machine === undefined) throw new Error('a world has a machine')
  machine.powered = true
  const pass = () => world.scheduler.runUntil(world.scheduler.now + 1_000)
  return Promise.resolve({
    open: (listener) => {
      const store = new SimStore(machine.disk, new Process(machine, 'daemon'), listener)
      const timely = {
        writeIdentity: (identity: Parameters<SimStore['writeIdentity']>[0]) => {
          const written = store.writeIdentity(identity)
          pass()
          return written
        },
        append: (record: Parameters<SimStore['append']>[0]) => store.append(record),
        apply: (...given: Parameters<SimStore['apply']>) => store.apply(...given),
        close: () => store.close(),
      }
      return Promise.resolve({ store: timely, restored: machine.disk.restore() })
    },
    settle: () => {
      pass()
      return Promise.resolve()
    },
    remove: () => Promise.resolve(),
  })
})
