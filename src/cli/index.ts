/** The command line: a thin client of the HTTP API. */
export { runCli } from './cli.js'
export { Client } from './client.js'
