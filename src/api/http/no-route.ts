/** Requests that no route takes: whether only the method is wrong, and which path was probably meant. */
import { ClusterError, nearestName } from '../../base/index.js'
import { pathMatches, type Route } from './route.js'

/** The methods that the path knows; undefined when there is nothing at it. */
export function wrongMethod(routes: readonly Route[], path: string): readonly string[] | undefined {
  const bare = path.length > 1 ? path.replace(/\/$/, '') : path
  const methods = new Set(routes.filter((route) => pathMatches(route.path, bare)).map((route) => route.method))
  if (methods.size === 0) return undefined
  return [...methods, ...(methods.has('GET') ? ['HEAD'] : [])].sort()
}

export function nowhere(routes: readonly Route[], method: string, path: string, allowed: readonly string[] | undefined): ClusterError {
  const shown = path.slice(0, 200)
  if (allowed !== undefined)
    return new ClusterError('METHOD_NOT_ALLOWED', `${shown} does not know ${method.slice(0, 20)}`, {
      fix: `use ${allowed.join(' or ')}`,
      facts: { allow: allowed },
    })
  const nearest = nearestPath(routes, path.slice(0, 200))
  return new ClusterError('NOT_FOUND', `there is nothing at ${shown}`, {
    fix: nearest === undefined ? 'GET /docs or /v1/openapi.json lists every path' : `did you mean ${nearest}?`,
  })
}

/** Each template with the request's own words where its parameters are. */
function nearestPath(routes: readonly Route[], path: string): string | undefined {
  const found = path.split('/')
  const candidates = routes.flatMap(({ path: template }) => {
    const wanted = template.split('/')
    if (wanted.at(-1) === '*') return [[...wanted.slice(0, -1), ...found.slice(wanted.length - 1)].join('/')]
    if (Math.abs(wanted.length - found.length) > 1) return []
    return [wanted.map((part, at) => (part.startsWith(':') ? (found[at] ?? part) : part)).join('/')]
  })
  return nearestName(path, new Set(candidates))
}
