/** A process that writes to the store in `argv[2]` until it is killed, and prints each sequence that it was told is persisted. */
import { openStore } from '../../../src/io/store/index.js'
import { applied, entries, hardState, identity } from './contract.js'

const folder = process.argv[2]
if (folder === undefined) throw new Error('usage: writer.js <folder>')

let sequence = 0
let index = 0
const { store } = await openStore(folder, {
  onPersisted(persisted) {
    process.stdout.write(`${persisted}\n`)
    while (index < persisted) {
      index++
      store.apply(applied(index), [{ table: 't', key: String(index), value: index }])
    }
    if (persisted === sequence) setImmediate(appendSome)
  },
  onFailure(error) {
    throw error
  },
})
await store.writeIdentity(identity)
appendSome()

function appendSome(): void {
  for (let count = 0; count < 10; count++) {
    sequence++
    store.append({ sequence, hardState: hardState(1), entries: entries(sequence, sequence) })
  }
}
