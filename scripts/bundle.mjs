/**
 * Puts the compiled program and its packages into a few files, `dist/bin/`: a node's three processes load a thousand files
 * less at each start, in a fifth of the time. What is native stays where npm put it.
 */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Packages that find native code beside their own files. */
const external = ['classic-level', 'msgpackr-extract']

/** Throws what esbuild throws, having printed it. */
export async function bundle(root) {
  const { build } = await import('esbuild')
  const source = join(root, 'dist', 'src')
  const outdir = join(root, 'dist', 'bin')
  rmSync(outdir, { recursive: true, force: true })
  await build({
    absWorkingDir: root,
    entryPoints: [
      { in: join(source, 'main.js'), out: 'quorate' },
      { in: join(source, 'api', 'http', 'yaml-worker.js'), out: 'yaml-worker' },
    ],
    outdir,
    bundle: true,
    // Each process loads the parts that it needs, and no more.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.15',
    external,
    legalComments: 'none',
    logLevel: 'warning',
    // CommonJS packages ask for Node's own modules by `require`.
    banner: { js: "import { createRequire as quorateRequire } from 'node:module'\nconst require = quorateRequire(import.meta.url)" },
  })
  if (!existsSync(join(outdir, 'quorate.js'))) throw new Error(`${outdir} has no quorate.js`)
}
