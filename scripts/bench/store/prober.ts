/**
 * Puts a key at each target every 10 ms, whatever became of the puts before, and tells of each success when it was asked for and when
 * it was acknowledged.
 *
 * Usage: node prober.js quorate|etcd TARGET..., with an IPC channel.
 */
import { HttpConnection } from './http-connection.js'

const [, , kind, ...targets] = process.argv
const interval = 10
const patience = 2_000

for (const target of targets) setInterval(() => put(target), interval)
process.on('disconnect', () => process.exit(0))

function put(target: string): void {
  const sent = Date.now()
  const connection = new HttpConnection(target, () => {
    const [method, path, body] =
      kind === 'quorate' ? ['PUT', '/v1/store/probe', '{"value":1}'] : ['POST', '/v3/kv/put', '{"key":"cHJvYmU=","value":"MQ=="}']
    connection.ask(method as string, path as string, body as string, (status) => {
      if (status === 200) process.send?.({ sent, done: Date.now() })
      connection.end()
      clearTimeout(end)
    })
  })
  const end = setTimeout(() => connection.end(), patience)
}
