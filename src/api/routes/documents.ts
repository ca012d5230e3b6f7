/** The API's own description. */
import { docsPage } from '../http/docs-page.js'
import { openApi } from '../http/openapi.js'
import type { Route } from '../http/route.js'

export function documentRoutes(routes: readonly Route[]): readonly Route[] {
  const own: Route[] = [
    {
      method: 'GET',
      path: '/v1/openapi.json',
      tag: 'description',
      summary: 'This description, OpenAPI 3.1.',
      answers: { 200: 'The document.' },
      handle: () => ({ body: description }),
    },
    {
      method: 'GET',
      path: '/docs',
      tag: 'description',
      summary: 'The same to read.',
      answers: { 200: 'A page.' },
      handle: () => ({
        text: { type: 'text/html; charset=utf-8', value: page },
        headers: { 'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'" },
      }),
    },
  ]
  const described = [...routes, ...own]
  const description = openApi(described)
  const page = docsPage(described)
  return own
}
