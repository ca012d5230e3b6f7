/** The API's description as a page of its own: no scripts, nothing from elsewhere. */
import { errorTable } from '../../base/index.js'
import { caseStages, groupStates, nodeStates, proofKinds } from '../schemas/index.js'
import type { Route } from './route.js'

export function docsPage(routes: readonly Route[]): string {
  const tags = [...new Set(routes.map((route) => route.tag))]
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Quorate HTTP API, v1</title><style>${style}</style></head><body>
<h1>Quorate HTTP API, v1</h1>
<p>JSON in and out; any node answers. A body without a content type is JSON, an empty one is <code>{}</code>. Every answer has
<code>quorate-index</code>, <code>quorate-term</code> and <code>quorate-leader</code>. An <code>ETag</code> is a revision: <code>If-Match</code> and
<code>If-None-Match: *</code> guard changes. An <code>Idempotency-Key</code> makes a retry safe. <code>?dryRun=true</code> on a change answers with what
would be done. Long work answers 202 with its operation; <code>?wait=30s</code> waits for its end. Reads with <code>?index=N&amp;wait=30s</code> answer
once something has changed after N. Errors are <code>application/problem+json</code> with a <code>code</code>, a <code>detail</code> and a
<code>fix</code>. The same for machines: <a href="/v1/openapi.json">/v1/openapi.json</a>.</p>
${tags.map((tag) => section(tag, routes)).join('\n')}
<h2>Error codes</h2>${table(Object.entries(errorTable).map(([code, { httpStatus, text }]) => [code, `${httpStatus}`, text]))}
<h2>States of a group</h2>${table(Object.entries(groupStates))}
<h2>States of a node</h2>${table(Object.entries(nodeStates))}
<h2>Stages of a case</h2>${table(Object.entries(caseStages))}
<h2>Proofs</h2>${table(Object.entries(proofKinds))}
</body></html>
`
}

const style =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}' +
  'code{font:.9em ui-monospace,monospace}table{border-collapse:collapse;width:100%}td{border-top:1px solid #ddd;padding:.3rem .6rem .3rem 0;vertical-align:top}' +
  'td:first-child{font:.9em ui-monospace,monospace;white-space:nowrap}dt{font:.95em ui-monospace,monospace;margin-top:1rem}dd{margin:0 0 0 1.5rem}' +
  '@media(prefers-color-scheme:dark){body{color:#ddd;background:#161616}a{color:#8cf}td{border-color:#444}}'

function section(tag: string, routes: readonly Route[]): string {
  const entries = routes.filter((route) => route.tag === tag).map(entry)
  return `<h2>${escaped(tag[0]?.toUpperCase() ?? '')}${escaped(tag.slice(1))}</h2><dl>${entries.join('')}</dl>`
}

function entry(route: Route): string {
  const path = route.path.replaceAll(/:(\w+)/g, '{$1}').replace(/\*$/, '{key}')
  const body =
    route.body === undefined || route.body === 'raw' ? '' : bodyText(route.body.title, Object.entries(route.body.properties ?? {}))
  const query = Object.entries(route.query ?? {}).map(([name, { doc }]) => [`?${name}`, doc])
  return `<dt><b>${route.method}</b> ${escaped(path)}</dt><dd>${prose(route.summary)}${body}${query.length === 0 ? '' : table(query)}</dd>`
}

function bodyText(title: string | undefined, properties: readonly (readonly [string, { readonly description?: string }])[]): string {
  const keys = properties.map(([name, { description }]) => [name, description ?? ''])
  return `<p>Body${title === undefined ? '' : `: ${escaped(title)}`}</p>${keys.length === 0 ? '' : table(keys)}`
}

function table(rows: readonly (readonly string[])[]): string {
  return `<table>${rows.map((cells) => `<tr>${cells.map((cell) => `<td>${prose(cell)}</td>`).join('')}</tr>`).join('')}</table>`
}

/** As `escaped`, with `words` in a code face. */
function prose(text: string): string {
  return escaped(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
