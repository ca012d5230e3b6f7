/**
 * `logical-hostname`: an IPv4 address that is up on one node. Checked for duplicates before, announced after.
 *
 * Loopback addresses are always there on every node, so for them nothing is done here: the group's exclusivity is all.
 */
import { join } from 'node:path'
import { isLoopback, type MethodResult } from '../../core/monitor/index.js'
import {
  announcement,
  askNeighbours,
  type DeviceAddress,
  deviceOfSubnet,
  duplicateProbe,
  neighbourOf,
  parseAddresses,
  parseDirectRoute,
  runningAddresses,
} from '../network/index.js'
import { isResult, judgeExit, type MethodContext } from './method.js'

const ip = 'ip'

/** RFC 5227 asks thrice within seconds; here the former holder is proved stopped before, and neighbours answer within a few. */
const answerWait = 30

export async function runLogicalHostname(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  const [address = '', prefix = '32'] = String(context.request.definition.parameters.address).split('/')
  if (isLoopback(address)) return context.refusal() ?? { outcome: method === 'probe' ? 'running' : 'done' }
  switch (method) {
    case 'probe': {
      const found = await addressesNow(context)
      return 'outcome' in found ? found : judgeAddress(of(found, address))
    }
    case 'stop':
      return takeDown(context, address)
    case 'start':
      return bringUp(context, address, Number(prefix))
  }
}

function of(known: readonly DeviceAddress[], address: string): readonly DeviceAddress[] {
  return known.filter((one) => one.address === address)
}

function judgeAddress(here: readonly DeviceAddress[]): MethodResult {
  const [first] = here
  if (first === undefined) return { outcome: 'stopped' }
  return here.some((known) => known.up) ? { outcome: 'running' } : { outcome: 'failed', detail: `its device ${first.device} is down` }
}

/** Takes it from where it is seen at once, and looks in the same breath whether it is elsewhere too. */
async function takeDown(context: MethodContext, address: string): Promise<MethodResult> {
  let found = await addressesNow(context, of(runningAddresses(), address))
  if ('outcome' in found) found = await addressesNow(context) // It may have gone by itself just now.
  if ('outcome' in found) return found
  const left = of(found, address)
  if (left.length === 0) return { outcome: 'done' }
  const again = await addressesNow(context, left)
  return 'outcome' in again ? again : { outcome: 'done' }
}

async function bringUp(context: MethodContext, address: string, prefix: number): Promise<MethodResult> {
  let known: readonly DeviceAddress[] = runningAddresses()
  let device = context.request.definition.parameters.device?.toString() ?? deviceOfSubnet(known, address, prefix)
  if (device === undefined || !known.some((other) => other.device === device)) {
    const found = await addressesNow(context)
    if ('outcome' in found) return found
    known = found
    device = await chooseDevice(context, known, address, prefix)
  }
  if (device === undefined) {
    return {
      outcome: 'failed',
      detail: `no device is connected to the network of ${address}/${prefix}; name one with the parameter "device"`,
    }
  }
  if (!known.some((other) => other.address === address && other.device === device)) {
    const taken = await findDuplicate(context, known, device, address, prefix)
    if (taken !== undefined) return taken
    const added = await run(context, [ip, 'addr', 'add', `${address}/${prefix}`, 'brd', '+', 'dev', device], 'service')
    if (added.outcome !== 'done') return added
  }
  const argv = announcement(device, address, join(context.world.outputFolder, `announcement-${address}.pid`))
  if (argv !== undefined) await context.begin({ argv }, 'service') // Goes on by itself; the address is up already.
  return { outcome: 'done' }
}

async function chooseDevice(
  context: MethodContext,
  known: readonly DeviceAddress[],
  address: string,
  prefix: number,
): Promise<string | undefined> {
  const { device } = context.request.definition.parameters
  if (device !== undefined) return String(device)
  const connected = deviceOfSubnet(known, address, prefix)
  if (connected !== undefined) return connected
  const outcome = await context.run({ argv: [ip, '-j', 'route', 'get', address] })
  return isResult(outcome) || outcome.code !== 0 ? undefined : parseDirectRoute(outcome.stdout)
}

/** What stands in the way of the address; a check that cannot be made does not. */
async function findDuplicate(
  context: MethodContext,
  known: readonly DeviceAddress[],
  device: string,
  address: string,
  prefix: number,
): Promise<MethodResult | undefined> {
  const own = known.find((other) => other.device === device && deviceOfSubnet([other], address, prefix) === device)
  const answer = own === undefined ? 'unknown' : await askLink(context, device, address, own.address)
  if (context.signal.aborted) return { outcome: 'cancelled' }
  if (answer === 'nobody') return undefined
  return answer === 'unknown' ? askByProgram(context, device, address) : inUse(device, address, answer.mac)
}

async function askLink(context: MethodContext, device: string, address: string, own: string) {
  const before = neighbourOf(device, address)
  if (before?.fixed === true) return 'unknown'
  // What is known from earlier would be taken for an answer.
  if (before !== undefined) await context.run({ argv: [ip, 'neigh', 'del', address, 'dev', device] })
  return askNeighbours(device, address, own, answerWait, context.signal)
}

/** Asks with ARP of its own, where the kernel's question would not go out on this device. */
async function askByProgram(context: MethodContext, device: string, address: string): Promise<MethodResult | undefined> {
  const argv = duplicateProbe(device, address)
  if (argv === undefined) return undefined
  const outcome = await context.run({ argv })
  if (isResult(outcome)) return outcome
  if (outcome.kind === 'cancelled' || outcome.kind === 'timed-out') return judgeExit(outcome)
  // Python itself ends with 1 on an error, but then it has printed no address.
  const mac = outcome.stdout.trim()
  return outcome.code === 1 && (mac !== '' || !argv.includes('-Ec')) ? inUse(device, address, mac) : undefined
}

function inUse(device: string, address: string, mac: string): MethodResult {
  return { outcome: 'failed', detail: `${address} is in use on ${device}${mac === '' ? '' : ` by ${mac}`}` }
}

/** Every address of this machine, after `taken` were taken away. */
async function addressesNow(
  context: MethodContext,
  taken: readonly DeviceAddress[] = [],
): Promise<readonly DeviceAddress[] | MethodResult> {
  const lines = taken.map(({ device, address, prefix }) => `addr del ${address}/${prefix} dev ${device}\n`)
  const outcome = await context.run(
    taken.length === 0 ? { argv: [ip, '-j', 'addr', 'show'] } : { argv: [ip, '-j', '-batch', '-'], input: `${lines.join('')}addr show\n` },
  )
  if (isResult(outcome)) return outcome
  const judged = judgeExit(outcome)
  if (judged.outcome !== 'done') return judged
  try {
    return parseAddresses(outcome.stdout)
  } catch {
    return { outcome: 'failed', detail: 'ip printed no addresses that can be read' }
  }
}

async function run(context: MethodContext, argv: readonly string[], part: 'service' | 'action'): Promise<MethodResult> {
  const outcome = await context.run({ argv }, part)
  return isResult(outcome) ? outcome : judgeExit(outcome)
}
