/** Members of the consensus, and the files that a new node begins with. */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { stringify } from 'yaml'
import { ClusterError, nodeId } from '../../base/index.js'
import type { Run } from '../cli.js'
import { type Body, segment } from '../session.js'
import { table } from '../table.js'

export function addMemberCommands(program: Command, run: Run): void {
  const member = program.command('member').description('members of the consensus: one for each life of a data folder')
  const path = (id: string, verb = ''): string => `/v1/members/${segment(id)}${verb === '' ? '' : `/${verb}`}`
  member
    .command('list', { isDefault: true })
    .description('who votes, who joins, who leaves')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/members' }, membersText)))
  member
    .command('invite <node>')
    .alias('add')
    .description('let a new node join once, under this name; prints the word for quorate join')
    .option('--learner', 'it receives the log and does not vote')
    .option('--for <duration>', 'how long the invitation is valid', '1h')
    .action(
      run((session, node: string, options: { learner?: boolean; for: string }) =>
        session.show(
          { method: 'POST', path: '/v1/members', body: { node, role: options.learner === true ? 'learner' : 'voter', for: options.for } },
          (body) => `${body.fix}`,
        ),
      ),
    )
  member
    .command('remove <member>')
    .description('take a member out; its node leaves with its last member')
    .action(
      run((session, id: string) =>
        session.show({ method: 'DELETE', path: path(id), query: { wait: session.options.wait } }, (body) =>
          body.role === 'gone' ? `${id} is out` : `${id} is being taken out: quorate member list`,
        ),
      ),
    )
  member
    .command('promote <member>')
    .description('give a learner a vote, once it has caught up')
    .action(
      run((session, id: string) =>
        session.show({ method: 'POST', path: path(id, 'promote'), query: { wait: session.options.wait } }, (body) =>
          body.role === 'voter' ? `${id} votes` : `${id} will vote when it has caught up: quorate member list`,
        ),
      ),
    )
  addFileCommands(program)
}

function membersText(body: Body): string {
  const rows = body.members.map((one: Body) => [
    one.member,
    one.node,
    one.role === one.wanted ? one.role : `${one.role}, to be ${one.wanted}`,
    one.leads ? 'leads' : '',
    one.address,
    one.lag === null ? '' : `${one.lag} behind`,
  ])
  const waiting = body.waitingFor === null ? '' : `\nwaits: ${body.waitingFor}`
  return `${table(['MEMBER', 'NODE', 'ROLE', '', 'ADDRESS', 'LAG'], rows)}${waiting}`
}

interface FileOptions {
  readonly config: string
  readonly secret?: string
  readonly link?: string
}

/** `init` and `join` write the file of a node and nothing else; what exists is never overwritten. */
function addFileCommands(program: Command): void {
  const config = () => new Option('-c, --config <file>', 'the file to write').default('/etc/quorate/node.yaml')
  const terminal = program.configureOutput().writeOut ?? ((text: string) => void process.stdout.write(text))
  program
    .command('init <node>')
    .description('write the file of a node of a new cluster, and a secret where there is none')
    .requiredOption('--member <name=address:port...>', 'every node of the new cluster, this one included')
    .option('--name <cluster>', 'name of the cluster', 'quorate')
    .option('--secret <file>', 'the cluster secret, the same on every node; made where it does not exist')
    .addOption(config())
    .action((node: string, options: FileOptions & { member: string[]; name: string }) => {
      const members = Object.fromEntries(options.member.map(parseMember))
      const link = members[node]
      if (link === undefined)
        throw new ClusterError('INVALID', `--member does not name ${node}`, { fix: `add --member ${node}=ADDRESS:PORT` })
      const secretFile = resolve(options.secret ?? join(dirname(options.config), 'secret'))
      const isNew = !existsSync(secretFile)
      writeNodeFile(options.config, nodeFile(node, link, { name: options.name, secretFile, members }))
      if (isNew) writeNew(secretFile, `${randomBytes(32).toString('hex')}\n`)
      terminal(
        `wrote ${options.config}${isNew ? ` and ${secretFile}: copy the secret to the other nodes before you run quorate init there` : ''}\n` +
          `next: quorate guardian --config ${options.config} on every node; the cluster forms when all are there\n`,
      )
    })
  program
    .command('join <invitation>')
    .description('write the file of a node that was invited (quorate member invite)')
    .requiredOption('--link <address:port>', 'where the other nodes reach this one')
    .requiredOption('--secret <file>', 'the secret of the cluster, copied from one of its nodes')
    .addOption(config())
    .action((invitation: string, options: FileOptions & { link: string; secret: string }) => {
      const { cluster, node, members, word } = parseInvitation(invitation)
      const [, link] = parseMember(`${node}=${options.link}`)
      const secretFile = resolve(options.secret)
      if (!existsSync(secretFile))
        throw new ClusterError('INVALID', `there is no file ${secretFile}`, { fix: 'copy the secret of the cluster from one of its nodes' })
      const all = { ...members, [node]: link }
      writeNodeFile(options.config, nodeFile(node, link, { name: cluster, secretFile, members: all, invitation: word }))
      terminal(
        `wrote ${options.config}\nnext: quorate guardian --config ${options.config}; quorate member list on any node shows it arrive\n`,
      )
    })
}

function nodeFile(node: string, link: string, cluster: Readonly<Record<string, unknown>>) {
  const [, host, port] = /^(.*):(\d+)$/.exec(link) ?? []
  return {
    node: nodeId(node),
    dataDir: '/var/lib/quorate',
    runDir: '/run/quorate',
    links: [{ address: host?.replace(/^\[|\]$/g, ''), port: Number(port) }],
    guardian: { port: 7401 },
    api: { socket: '/run/quorate/api.sock' },
    cluster,
  }
}

function parseMember(text: string): readonly [name: string, address: string] {
  const match = /^([^=]+)=(\[?[0-9a-zA-Z.:_-]+\]?:\d{1,5})$/.exec(text)
  if (match?.[1] === undefined || match[2] === undefined)
    throw new ClusterError('INVALID', `"${text.slice(0, 80)}" names no member`, { fix: 'write it as n1=10.0.0.1:7400' })
  return [nodeId(match[1]), match[2]]
}

function parseInvitation(text: string): {
  readonly cluster: string
  readonly node: string
  readonly members: Readonly<Record<string, string>>
  readonly word: string
} {
  try {
    const value = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (typeof value.cluster === 'string' && typeof value.node === 'string' && typeof value.word === 'string' && value.members !== null)
      return value
  } catch {
    // Told below.
  }
  throw new ClusterError('INVALID', 'that is no invitation', { fix: 'quorate member invite NODE prints one' })
}

function writeNodeFile(path: string, content: unknown): void {
  writeNew(resolve(path), stringify(content))
}

function writeNew(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  try {
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new ClusterError('CONFLICT', `${path} exists already`, { fix: 'nothing was changed; name another file or move it away' })
  }
}
