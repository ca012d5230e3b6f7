/**
 * `logical-hostname`: an IPv4 address that is up on one node. Checked for duplicates before, announced after.
 *
 * Loopback addresses are always there on every node, so for them nothing is done here: the group's exclusivity is all.
 */
import { isLoopback, type MethodResult } from '../../core/monitor/index.js'
import { announcement, type DeviceAddress, deviceOfSubnet, duplicateProbe, parseAddresses, parseDirectRoute } from '../network/index.js'
import { isResult, judgeExit, type MethodContext } from './method.js'

const ip = 'ip'

export async function runLogicalHostname(context: MethodContext, method: 'start' | 'stop' | 'probe'): Promise<MethodResult> {
  const [address = '', prefix = '32'] = String(context.request.definition.parameters.address).split('/')
  if (isLoopback(address)) return context.refusal() ?? { outcome: method === 'probe' ? 'running' : 'done' }
  const found = await addressesNow(context)
  if ('outcome' in found) return found
  const here = found.filter((known) => known.address === address)
  switch (method) {
    case 'probe':
      return judgeAddress(here)
    case 'stop':
      return takeDown(context, here)
    case 'start':
      return bringUp(context, found, address, Number(prefix))
  }
}

function judgeAddress(here: readonly DeviceAddress[]): MethodResult {
  const [first] = here
  if (first === undefined) return { outcome: 'stopped' }
  return here.some((known) => known.up) ? { outcome: 'running' } : { outcome: 'failed', detail: `its device ${first.device} is down` }
}

async function takeDown(context: MethodContext, here: readonly DeviceAddress[]): Promise<MethodResult> {
  for (const { device, address, prefix } of here) {
    const result = await run(context, [ip, 'addr', 'del', `${address}/${prefix}`, 'dev', device], 'action')
    if (result.outcome !== 'done') return result
  }
  return { outcome: 'done' }
}

async function bringUp(context: MethodContext, known: readonly DeviceAddress[], address: string, prefix: number): Promise<MethodResult> {
  const device = await chooseDevice(context, known, address, prefix)
  if (device === undefined) {
    return {
      outcome: 'failed',
      detail: `no device is connected to the network of ${address}/${prefix}; name one with the parameter "device"`,
    }
  }
  if (!known.some((other) => other.address === address && other.device === device)) {
    const taken = await findDuplicate(context, device, address)
    if (taken !== undefined) return taken
    const added = await run(context, [ip, 'addr', 'add', `${address}/${prefix}`, 'brd', '+', 'dev', device], 'service')
    if (added.outcome !== 'done') return added
  }
  const argv = announcement(device, address)
  if (argv !== undefined) void context.run({ argv }, 'service') // Goes on by itself; the address is up already.
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
async function findDuplicate(context: MethodContext, device: string, address: string): Promise<MethodResult | undefined> {
  const argv = duplicateProbe(device, address)
  if (argv === undefined) return undefined
  const outcome = await context.run({ argv })
  if (isResult(outcome)) return outcome
  if (outcome.kind === 'cancelled' || outcome.kind === 'timed-out') return judgeExit(outcome)
  // Python itself ends with 1 on an error, but then it has printed no address.
  const mac = outcome.stdout.trim()
  const inUse = outcome.code === 1 && (mac !== '' || !argv.includes('-Ec'))
  return inUse ? { outcome: 'failed', detail: `${address} is in use on ${device}${mac === '' ? '' : ` by ${mac}`}` } : undefined
}

async function addressesNow(context: MethodContext): Promise<readonly DeviceAddress[] | MethodResult> {
  const outcome = await context.run({ argv: [ip, '-j', 'addr', 'show'] })
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
