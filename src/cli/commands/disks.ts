/** Shared disks. */
import type { Command } from 'commander'
import type { Run } from '../cli.js'
import { type Body, readInput, segment } from '../session.js'
import { pairs, table } from '../table.js'

interface Given {
  readonly use: string
  readonly iscsi?: string
  readonly device?: string
  readonly user?: string
  readonly passwordFile?: string
  readonly timeout?: string
}

export function addDiskCommands(program: Command, run: Run): void {
  const disks = program.command('disk').description('shared disks: for challenges, and for groups that live on them')
  disks
    .command('list', { isDefault: true })
    .description('every shared disk, and who stands on it')
    .action(run((session) => session.show({ method: 'GET', path: '/v1/disks' }, (body) => disksText(body.disks))))
  disks
    .command('show <disk>')
    .description('one shared disk')
    .action(run((session, disk: string) => session.show({ method: 'GET', path: `/v1/disks/${segment(disk)}` }, diskText)))
  disks
    .command('set <disk>')
    .description('add or change one')
    .requiredOption('--use <use>', 'challenge or storage')
    .option('--iscsi <url>', 'iscsi://HOST[:PORT]/TARGET/LUN')
    .option('--user <name>', 'CHAP user')
    .option('--password-file <file>', 'file with the CHAP password')
    .option('--device <path>', 'a block device, the same on every node')
    .option('--timeout <duration>', 'time for one request, 1s unless given')
    .action(
      run((session, disk: string, { passwordFile, ...given }: Given) =>
        session.show(
          {
            method: 'PUT',
            path: `/v1/disks/${segment(disk)}`,
            body: { ...given, ...(passwordFile === undefined ? {} : { password: readInput(passwordFile).text.trim() }) },
          },
          diskText,
        ),
      ),
    )
  disks
    .command('delete <disk>')
    .description('delete one on which nothing relies')
    .action(
      run((session, disk: string) =>
        session.show({ method: 'DELETE', path: `/v1/disks/${segment(disk)}` }, () => `shared disk ${disk} is deleted`),
      ),
    )
}

function disksText(disks: readonly Body[]): string {
  return table(
    ['DISK', 'USE', 'PLACE', 'READY', 'NOT READY'],
    disks.map((one) => [one.name, one.use, one.iscsi ?? one.device, nodesThat(one, true), nodesThat(one, false)]),
  )
}

function nodesThat({ nodes }: Body, ready: boolean): string {
  return Object.entries<Body>(nodes)
    .flatMap(([name, told]) => (told.ready === ready ? [name] : []))
    .join(' ')
}

function diskText(body: Body): string {
  const head = pairs([
    ['disk', body.name],
    ['use', body.use],
    ['place', body.iscsi ?? body.device],
    ['timeout', body.timeout],
  ])
  const nodes = table(
    ['NODE', 'READY', 'SINCE', 'DETAIL'],
    Object.entries<Body>(body.nodes).map(([name, { ready, since, detail }]) => [name, ready ? 'yes' : 'no', since, detail]),
  )
  return [head, nodes].join('\n\n')
}
