/** Reads what `ip -j addr` and `ip -j route get` print, and what this process sees by itself. */
import { networkInterfaces } from 'node:os'

export interface DeviceAddress {
  readonly device: string
  readonly address: string
  readonly prefix: number
  /** The device is administratively up. */
  readonly up: boolean
}

/** Every IPv4 address of this network namespace. Throws on text that is not what `ip` prints. */
export function parseAddresses(json: string): readonly DeviceAddress[] {
  const devices = JSON.parse(json === '' ? '[]' : json) as readonly {
    readonly ifname?: string
    readonly flags?: readonly string[]
    readonly addr_info?: readonly { readonly family?: string; readonly local?: string; readonly prefixlen?: number }[]
  }[]
  return devices.flatMap((device) =>
    (device.addr_info ?? []).flatMap(({ family, local, prefixlen }) =>
      family === 'inet' && local !== undefined && device.ifname !== undefined
        ? [{ device: device.ifname, address: local, prefix: prefixlen ?? 32, up: device.flags?.includes('UP') === true }]
        : [],
    ),
  )
}

/** Those of devices that are up and running, without starting a program: what is missing here may still be there. */
export function runningAddresses(): readonly DeviceAddress[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses = []]) =>
    addresses.flatMap(({ family, address, cidr }) =>
      // An address with a label goes by the label.
      family === 'IPv4' ? [{ device: name.replace(/:.*/, ''), address, prefix: Number(cidr?.split('/')[1] ?? 32), up: true }] : [],
    ),
  )
}

/** The device of `ip -j route get`; undefined when the network is reached through a gateway or not at all. */
export function parseDirectRoute(json: string): string | undefined {
  try {
    const [route] = JSON.parse(json) as readonly { readonly dev?: string; readonly gateway?: string }[]
    return route?.gateway === undefined ? route?.dev : undefined
  } catch {
    return undefined
  }
}

/** The device that already has an address of the same subnet. */
export function deviceOfSubnet(addresses: readonly DeviceAddress[], address: string, prefix: number): string | undefined {
  const wanted = network(address, prefix)
  return addresses.find((known) => known.up && known.prefix === prefix && network(known.address, prefix) === wanted)?.device
}

function network(address: string, prefix: number): number {
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0)
  return prefix === 0 ? 0 : Math.floor(value / 2 ** (32 - prefix))
}
