/** A process that writes to the store in `argv[2]` until it is killed, and prints each sequence that it was told is persisted. */
import { logIndex } from '../../../src/base/index.js'
import { openStore } from '../../../src/io/store/index.js'
import { entries, hardState, identity } from './contract.js'

const folder = process.argv[2]
if (folder === undefined) throw new Error('usage: writer.js <folder>')

let sequence = 0
let applied = 0
const { store } = await openStore(folder, {
  onPersisted(persisted) {
    process.stdout.write(`${persisted}\n`)
    while (applied < persisted) {
      applied++
      store.apply(logIndex(applied), [{ table: 't', key: String(applied), value: applied }])
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
