/** Addresses of this machine: how they are read, checked for duplicates and announced. Whoever runs the programs brings the processes. */
export { announcement, duplicateProbe } from './arp.js'
export { type DeviceAddress, deviceOfSubnet, parseAddresses, parseDirectRoute, runningAddresses } from './ip-json.js'
export { askNeighbours, neighbourOf, parseNeighbours } from './neighbours.js'
