/** Types `systemd:<unit>`: which unit of systemd a type names. */
import type { ParameterProblem } from './parameters.js'

const prefix = 'systemd:'
/** systemd.unit(5). */
const nameMax = 255
const otherKinds = /\.(socket|target|device|mount|automount|swap|timer|path|slice|scope)$/

export function isSystemd(type: string): boolean {
  return type.startsWith(prefix)
}

/** `systemd:nginx` and `systemd:nginx.service` are both nginx.service. Undefined for what names no service that could be started. */
export function unitOf(type: string): string | undefined {
  if (!isSystemd(type)) return undefined
  const given = type.slice(prefix.length)
  if (!/^[\w:.\\@-]+$/.test(given) || /^[.@-]/.test(given) || otherKinds.test(given)) return undefined
  const unit = given.endsWith('.service') ? given : `${given}.service`
  return unit.length > nameMax || /@\.service$/.test(unit) || unit === '.service' ? undefined : unit
}

/** Why a type names no unit that can be a resource; undefined where it does. */
export function unitProblem(type: string): ParameterProblem | undefined {
  if (unitOf(type) !== undefined) return undefined
  const given = type.slice(prefix.length, prefix.length + 100)
  const kind = otherKinds.exec(given)?.[1]
  if (kind !== undefined)
    return {
      parameter: 'type',
      detail: `${given} is a ${kind}: only services are resources`,
      // What it triggers or pulls in goes on when it is stopped, so that its stop would prove nothing.
      fix: 'name the service that does the work, and disable the units that would start it',
    }
  if (/@(\.service)?$/.test(given))
    return { parameter: 'type', detail: `${given} is a template`, fix: 'name an instance of it, such as systemd:worker@one' }
  return { parameter: 'type', detail: `"${given}" does not name a unit`, fix: 'write systemd:<name>, such as systemd:nginx' }
}
