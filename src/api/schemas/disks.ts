/** What a person writes about shared disks. */
import { choice, closed, count, duration, text, told } from './schema.js'

const keys = {
  use: choice(
    '`challenge`: a small LUN of its own, on which a suspect answers by registering its key again; one for the cluster. `storage`: groups live on it, and a node that is lost is cut off from it.',
    ['challenge', 'storage'],
  ),
  iscsi: text('iscsi://HOST[:PORT]/TARGET/LUN: each node keeps a session of its own with it. Either this or `device`.', 500),
  user: text('With iscsi: the CHAP user.', 200),
  password: text('With iscsi: its password. Shown as ********, and kept when sent back so.', 200),
  device: text('The block device, or the multipath device above its paths; the same on every node, such as /dev/disk/by-id/….', 300),
  timeout: duration('Time for one request; 1s unless given.'),
} as const

export const diskDefinitionSchema = closed(keys, { title: 'SharedDisk', description: 'A LUN that every node reaches.', required: ['use'] })

export const diskPutSchema = closed(
  {
    ...keys,
    name: told('The name in the path.'),
    nodes: told('Whether the key of each node stands there.'),
    here: told('What the node that answers sees.'),
    unchanged: told('The change said what was there already.'),
    revision: count('As read: the change is refused when the disk has another one by now.', 0, Number.MAX_SAFE_INTEGER),
  },
  { title: 'SharedDiskPut', description: 'A SharedDisk, or what GET answered.', required: ['use'] },
)
