/** `npm start`: sets the checkout up where needed and becomes the demo, in this very process, so that signals and output are its own. */
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root, SetupError, setup } from './setup.mjs'

try {
  await setup()
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(`set-up: ${error.message}`)
  process.exit(1)
}
const demo = join(root, 'dist', 'scripts', 'demo', 'main.js')
process.argv[1] = demo
await import(pathToFileURL(demo).href)
