export { openSealer, type Sealer } from './sealer.js'
