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
      const restored = machine.disk.restore()
      const store = new SimStore(machine.disk, new Process(machine, 'daemon'), listener)
      return Promise.resolve({ store: timely(store, pass), restored })
    },
    settle: () => {
      pass()
      return Promise.resolve()
    },
    remove: () => Promise.resolve(),
  })
})

/** Lets time pass after each call that promises something, here and in what it promises. */
function timely<Value extends object>(value: Value, pass: () => void): Value {
  return new Proxy(value, {
    get(target, name) {
      const member = Reflect.get(target, name, target) as unknown
      if (typeof member !== 'function') return member
      return (...given: unknown[]) => {
        const result = member.apply(target, given) as unknown
        if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') return result
        pass()
        return (result as PromiseLike<unknown>).then((inner) => (isHandle(inner) ? timely(inner, pass) : inner))
      }
    },
  })
}

/** A snapshot's reader or writer, not data. */
function isHandle(value: unknown): value is object {
  return typeof value === 'object' && value !== null && ('next' in value || 'install' in value)
}
