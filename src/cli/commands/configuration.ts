/** The configuration as a whole, settings, resource types. */
import type { Command } from 'commander'
import { parse } from 'yaml'
import { ClusterError } from '../../base/index.js'
import type { Run } from '../cli.js'
import type { Asked } from '../client.js'
import { type Body, jsonOrText, readInput, segment } from '../session.js'
import { pairs, table } from '../table.js'
import { planText, warningLines } from './groups.js'

interface DocumentOptions {
  readonly file: string
  readonly prune?: boolean
  readonly ifRevision?: string
  readonly planHash?: string
  readonly validate?: boolean
}

export function addConfigurationCommands(program: Command, run: Run): void {
  const config = program.command('config').description('the whole configuration')
  config
    .command('get', { isDefault: true })
    .description('as one YAML document, which apply takes; -o json for JSON')
    .action(
      run((session) =>
        session.show(
          { method: 'GET', path: '/v1/config', query: { format: session.options.output === 'json' ? 'json' : 'yaml' } },
          (body) => JSON.stringify(body),
        ),
      ),
    )
  config
    .command('diff')
    .description('what applying a document would change')
    .requiredOption('-f, --file <file>', 'the document; - reads standard input')
    .option('--prune', 'groups that are not listed would be deleted')
    .action(run((session, options: DocumentOptions) => session.show(planned(options), diffText)))
  program
    .command('plan')
    .description('what applying a document would change and lead to')
    .requiredOption('-f, --file <file>', 'the document; - reads standard input')
    .option('--prune', 'groups that are not listed would be deleted')
    .option('--no-validate', 'do not ask the agents of the nodes whether they could run so')
    .action(
      run((session, options: DocumentOptions) =>
        session.show(planned(options), (body) => `${planText(body)}\nplan ${body.planHash}, on revision ${body.revision}`),
      ),
    )
  program
    .command('apply')
    .description('apply a document, all or nothing')
    .requiredOption('-f, --file <file>', 'the document; - reads standard input')
    .option('--prune', 'delete groups that are not listed')
    .option('--if-revision <revision>', 'only if the configuration has this revision')
    .option('--plan-hash <hash>', 'only if it would lead to what was planned')
    .option('--no-validate', 'do not ask the agents of the nodes whether they could run so')
    .action(
      run((session, options: DocumentOptions) =>
        session.show({ method: 'POST', path: '/v1/apply', query: validation(options), ...documentOf(options) }, (body) =>
          body.unchanged === true
            ? 'nothing to change'
            : [...warningLines(body), diffText(body), `applied, revision ${body.revision}`].join('\n'),
        ),
      ),
    )
  addSettings(program, run)
  addTypes(program, run)
}

const validation = ({ validate }: DocumentOptions) => ({ validate: validate === false ? 'false' : undefined })

const planned = (options: DocumentOptions): Asked => ({
  method: 'POST',
  path: '/v1/plan',
  query: validation(options),
  ...documentOf(options),
})

/** The file as it is, unless options have to be written into it. */
function documentOf({ file, prune, ifRevision, planHash }: DocumentOptions): Pick<Asked, 'raw' | 'body'> {
  const raw = readInput(file)
  if (prune !== true && ifRevision === undefined && planHash === undefined) return { raw }
  let document: unknown
  try {
    document = parse(raw.text)
  } catch (error) {
    throw new ClusterError('BAD_YAML', `${file}: ${(error as Error).message.split('\n')[0]}`)
  }
  const extra = {
    ...(prune === true ? { prune: true } : {}),
    ...(ifRevision === undefined ? {} : { ifRevision: jsonOrText(ifRevision) }),
    ...(planHash === undefined ? {} : { planHash }),
  }
  return { body: { ...(document as object), ...extra } }
}

function diffText({ changes }: Body): string {
  return changes.length === 0 ? 'no difference' : changes.map((one: Body) => `${one.change} ${one.what} ${one.name}`).join('\n')
}

function addSettings(program: Command, run: Run): void {
  const settings = program.command('settings').description('times, limits, policies')
  settings
    .command('get', { isDefault: true })
    .description('what is in force; * marks what was set')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/settings' }, settingsText)))
  settings
    .command('set <key=value...>')
    .description('change settings; key=null returns one to its profile')
    .action(
      run((session, given: readonly string[]) => {
        const body = Object.fromEntries(
          given.map((one) => {
            const at = one.indexOf('=')
            if (at < 1) throw new ClusterError('INVALID', `"${one}" is no setting`, { fix: 'write key=value' })
            return [one.slice(0, at), jsonOrText(one.slice(at + 1))]
          }),
        )
        return session.show({ method: 'PATCH', path: '/v1/settings', body }, settingsText)
      }),
    )
}

function settingsText(body: Body): string {
  return pairs(Object.entries(body.settings).map(([key, value]) => [`${Object.hasOwn(body.set, key) ? '*' : ' '} ${key}`, String(value)]))
}

function addTypes(program: Command, run: Run): void {
  const type = program.command('type').description('resource types of the node that is asked')
  type
    .command('list', { isDefault: true })
    .action(run((session) => session.show({ method: 'GET', path: '/v1/types' }, ({ types }) => types.join('\n'))))
  type.command('show <type>').action(
    run((session, name: string) =>
      session.show({ method: 'GET', path: `/v1/types/${segment(name)}` }, (body) => {
        const rows = body.parameters.map((one: Body) => [one.name, one.required, one.fallback, String(one.doc).replaceAll(/\s+/g, ' ')])
        return `${body.name}: ${body.doc}\n\n${table(['PARAMETER', 'REQUIRED', 'DEFAULT', 'MEANING'], rows)}`
      }),
    ),
  )
}
