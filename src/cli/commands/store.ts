/** Values for applications. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import { type Body, jsonOrText } from '../session.js'
import { table } from '../table.js'

/** Slashes in a key stay slashes. */
const path = (key: string): string => `/v1/store/${key.split('/').map(encodeURIComponent).join('/')}`
const guard = (revision: string | undefined): { readonly headers?: Readonly<Record<string, string>> } =>
  revision === undefined ? {} : { headers: { 'if-match': `"${revision}"` } }

interface Guarded {
  readonly ifRevision?: string
}

export function addStoreCommands(program: Command, run: Run): void {
  const store = program.command('store').description('small values for applications')
  store
    .command('get <key>')
    .action(run((session, key: string) => session.show({ method: 'GET', path: path(key) }, ({ value }) => JSON.stringify(value))))
  store
    .command('put <key> <value>')
    .description('JSON, or any text')
    .option('--if-revision <revision>', 'only if the key has this revision')
    .option('--create', 'only if there is no such key')
    .action(
      run((session, key: string, value: string, { ifRevision, create }: Guarded & { create?: boolean }) =>
        session.show(
          {
            method: 'PUT',
            path: path(key),
            body: { value: jsonOrText(value) },
            ...(create === true ? { headers: { 'if-none-match': '*' } } : guard(ifRevision)),
          },
          (body) => `${body.key} is at revision ${body.revision}`,
        ),
      ),
    )
  store
    .command('delete <key>')
    .option('--if-revision <revision>', 'only if the key has this revision')
    .action(
      run((session, key: string, { ifRevision }: Guarded) =>
        session.show({ method: 'DELETE', path: path(key), ...guard(ifRevision) }, (body) => `${body.key} is deleted`),
      ),
    )
  store
    .command('list [prefix]')
    .option('--limit <number>', 'how many, 100 unless given')
    .option('--after <key>', 'only keys after this one')
    .action(
      run((session, prefix: string | undefined, { limit, after }: { limit?: string; after?: string }) =>
        session.show({ method: 'GET', path: '/v1/store', query: { prefix, limit, after } }, (body) => {
          const rows = body.items.map((one: Body) => [one.key, one.revision, JSON.stringify(one.value)])
          const more = body.next === null ? '' : `\nmore: --after ${body.next}`
          return `${table(['KEY', 'REVISION', 'VALUE'], rows)}${more}`.trim()
        }),
      ),
    )
}
