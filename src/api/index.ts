/** The HTTP API. */
export { type RunningApi, startApi } from './server.js'
