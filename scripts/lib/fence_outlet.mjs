#!/usr/bin/env node
/**
 * Fence agent for the power supplies of the demo, the laboratory and the benchmarks.
 *
 * Speaks the fence agents' protocol: `key=value` lines on standard input. Keys: action, node, socket. Exit code 0: done
 * (off only when the supply has read back that nothing is left); for status 0 is on and 2 is off; 1 is "cannot tell".
 */
import { connect } from 'node:net'

const metadata = `<?xml version="1.0"?>
<resource-agent name="fence_outlet" shortdesc="Fence agent for a node's simulated power supply">
<parameters>
<parameter name="action" required="1"><shortdesc>off, on, reboot, status, monitor or metadata</shortdesc><content type="string" default="reboot"/></parameter>
<parameter name="node" required="1"><shortdesc>Name of the node</shortdesc><content type="string"/></parameter>
<parameter name="socket" required="1"><shortdesc>Unix socket of the power supplies</shortdesc><content type="string"/></parameter>
</parameters>
<actions><action name="on"/><action name="off"/><action name="reboot"/><action name="status"/><action name="monitor"/><action name="metadata"/></actions>
</resource-agent>
`

let input = ''
process.stdin.setEncoding('utf8')
for await (const chunk of process.stdin) input += chunk
const options = Object.fromEntries(
  input
    .split('\n')
    .filter((line) => line.includes('='))
    .map((line) => [line.slice(0, line.indexOf('=')).trim(), line.slice(line.indexOf('=') + 1).trim()]),
)
const action = options.action ?? 'reboot'
if (action === 'metadata') {
  process.stdout.write(metadata)
  process.exit(0)
}
const socket = connect(options.socket ?? '')
socket.on('error', (error) => fail(`cannot reach the power supply: ${error.message}`))
socket.on('connect', () => socket.write(`${JSON.stringify({ node: options.node, action: action === 'monitor' ? 'status' : action })}\n`))
let reply = ''
for await (const chunk of socket) reply += chunk
let answer
try {
  answer = JSON.parse(reply)
} catch {
  fail('the power supply gave no answer')
}
if (!answer.ok) fail(answer.detail)
if (action === 'status') {
  process.stdout.write(`Status: ${answer.on ? 'ON' : 'OFF'}\n`)
  process.exit(answer.on ? 0 : 2)
}
if (action === 'off' && answer.on) fail('something of the node still runs')
process.stdout.write(`Success: ${action}\n`)
process.exit(0)

function fail(text) {
  process.stderr.write(`${text}\n`)
  process.exit(1)
}
