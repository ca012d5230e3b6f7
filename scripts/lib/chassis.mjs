#!/usr/bin/env node
/**
 * The program that the IPMI simulator calls for a chassis: `chassis.mjs SOCKET get|set NAME [VALUE] …`. Asks whoever keeps the
 * simulated controllers, and prints what the simulator wants to read.
 */
import { connect } from 'node:net'

const [path, ...words] = process.argv.slice(2)
const socket = connect(path ?? '')
socket.on('error', (error) => {
  process.stderr.write(`no answer from the chassis: ${error.message}\n`)
  process.exit(1)
})
socket.on('connect', () => socket.write(`${words.join(' ')}\n`))
let reply = ''
socket.setEncoding('utf8')
for await (const chunk of socket) reply += chunk
process.stdout.write(reply)
