/** Checks that look at this machine itself: its processes, files, disks and network devices. */
import { open, readFile, stat, statfs } from 'node:fs/promises'
import { formatDuration, formatSize, parseDuration } from '../../base/index.js'
import type { ParameterValue } from '../../core/cluster/index.js'
import { parseFree } from '../../core/monitor/index.js'
import { allPids, hasEnded, readStat } from '../processes/index.js'

type Parameters = { readonly [name: string]: ParameterValue }

/** Only the beginning of a file is searched. */
const searchedMax = 1_048_576

/** Undefined when all is well, else what is wrong. */
export async function look(type: string, parameters: Parameters): Promise<string | undefined> {
  try {
    switch (type) {
      case 'process':
        return await lookForProcess(parameters)
      case 'file':
        return await lookAtFile(parameters)
      case 'disk-space':
        return await lookForSpace(parameters)
      case 'link':
        return await lookAtLink(String(parameters.device))
      default:
        return `nobody knows how to check ${type}`
    }
  } catch (error) {
    return (error as Error).message
  }
}

async function lookForProcess({ pidFile, name, user }: Parameters): Promise<string | undefined> {
  if (pidFile !== undefined) {
    const [line = ''] = (await readFile(String(pidFile), 'utf8')).split('\n')
    if (!/^\s*\d{1,10}\s*$/.test(line)) return `${pidFile} holds no process id`
    return isRunning(Number(line)) ? undefined : `no process ${Number(line)} runs, which ${pidFile} names`
  }
  const owner = user === undefined ? undefined : await userNumber(String(user))
  for (const pid of allPids()) if (isRunning(pid) && (await isNamed(pid, String(name), owner))) return undefined
  return `no process ${name} runs${user === undefined ? '' : ` as ${user}`}`
}

function isRunning(pid: number): boolean {
  const stat = readStat(pid)
  return stat !== undefined && !hasEnded(stat)
}

async function isNamed(pid: number, name: string, owner: number | undefined): Promise<boolean> {
  try {
    if ((await readFile(`/proc/${pid}/comm`, 'utf8')).replace(/\n$/, '') !== name) return false
    return owner === undefined || (await stat(`/proc/${pid}`)).uid === owner
  } catch {
    return false // It has ended meanwhile.
  }
}

async function userNumber(user: string): Promise<number> {
  if (/^\d+$/.test(user)) return Number(user)
  for (const line of (await readFile('/etc/passwd', 'utf8')).split('\n')) {
    const [name, , number] = line.split(':')
    if (name === user) return Number(number)
  }
  throw new Error(`/etc/passwd has no user ${user}`)
}

async function lookAtFile({ path, maxAge, contains }: Parameters): Promise<string | undefined> {
  const found = await stat(String(path))
  if (maxAge !== undefined) {
    const allowed = parseDuration(maxAge as string | number)
    const age = Date.now() - found.mtimeMs
    if (age > allowed) return `${path} was last changed ${Math.round(age / 1_000)}s ago, ${formatDuration(allowed)} are allowed`
  }
  if (contains === undefined) return undefined
  if (!found.isFile()) return `${path} is no file` // To open a pipe would wait for its other end.
  const file = await open(String(path))
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(searchedMax, Math.max(1, found.size))), 0)
    return buffer.subarray(0, bytesRead).includes(String(contains)) ? undefined : `${path} does not contain the text it should`
  } finally {
    await file.close()
  }
}

async function lookForSpace({ path, minFree }: Parameters): Promise<string | undefined> {
  const { bsize, blocks, bfree, bavail } = await statfs(String(path))
  const wanted = parseFree(minFree as string | number)
  if ('bytes' in wanted) {
    const free = bavail * bsize
    return free >= wanted.bytes ? undefined : `${formatSize(free)} are free at ${path}, ${formatSize(wanted.bytes)} should be`
  }
  // What df shows: of the room that ordinary users have.
  const room = blocks - bfree + bavail
  const share = room === 0 ? 0 : (100 * bavail) / room
  return share >= wanted.percent ? undefined : `${share.toFixed(1)}% are free at ${path}, ${wanted.percent}% should be`
}

/** A device that is down has a carrier file that cannot be read. */
async function lookAtLink(device: string): Promise<string | undefined> {
  const folder = `/sys/class/net/${device}`
  let flags: number
  try {
    flags = Number.parseInt(await readFile(`${folder}/flags`, 'utf8'), 16)
  } catch {
    return `there is no network device ${device}`
  }
  if ((flags & up) === 0) return `${device} is down`
  const carrier = (await readFile(`${folder}/carrier`, 'utf8').catch(() => '0')).trim()
  return carrier === '1' ? undefined : `${device} is up without carrier`
}

/** IFF_UP of linux/if.h. */
const up = 1
