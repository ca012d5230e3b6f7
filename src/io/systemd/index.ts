/** systemd: its units, over the message bus and by their files. */
export { openSystemd, type StopMode, type Systemd, type SystemdOptions } from './systemd.js'
export {
  dropInPath,
  installedServices,
  isSystemdHere,
  placeDropIn,
  removeDropIn,
  runtimeUnits,
  unitsWithDropIn,
} from './unit-files.js'
