#!/usr/bin/env node
/**
 * The least that is worth keeping alive: `hello.mjs <address> <port>` says where it runs.
 *
 * It listens on the address of its group, which comes up before it.
 */
import { createServer } from 'node:http'

const [address, port] = process.argv.slice(2)
createServer((_, response) => response.end(`Served by ${process.env.QUORATE_NODE}.\n`)).listen(Number(port), address)
process.on('SIGTERM', () => process.exit(0))
