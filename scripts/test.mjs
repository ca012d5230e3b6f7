/**
 * `npm test [-- <pattern>]`: sets up, checks the code, and runs the tests; those of the real parts only as root.
 *
 * Unit, contract and simulation tests run without root even when root calls: what they need must not depend on it. What is pure comes
 * first, a file for each processor. Then contract tests, one file at a time, and beside them those under test/root/, as root: two lanes,
 * for both wait more than they reckon; the first begins with what takes longest. Last, alone, those that judge what whole clusters do in
 * time. Files under test/long/ are run only where they are asked for by name; a line `needs: <packages>` in a file's header names the Debian packages without which it
 * is not run. What was not run is listed at the end; with CI=true that is a failure. With a pattern, only files whose path contains it are run.
 */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { installMissing } from './debian-packages.mjs'
import { root, SetupError, setup } from './setup.mjs'

/** The user and group "nobody". */
const nobody = 65_534
const isRoot = process.getuid?.() === 0
const patterns = process.argv.slice(2)
/** No test file may take longer, in milliseconds. */
const fileMax = 15 * 60_000
/** So many are named at the end. */
const slowestMax = 12
/** Those of the real parts that take longest, longest first: what is begun late holds everything up. */
const longest = ['fence-devices', 'chaos-hosts', 'lab', 'systemd', 'chaos-node', 'agent-kit', 'shared-disks', 'roles', 'upgrade']

const failed = []
/** What is shown of the words of a failed test, in characters. */
const wordsMax = 1_500

/** Name, file and words of each test that failed. */
const failures = []
const notRun = []
const totals = new Map()
/** How long each kind of tests and each of its files took, in seconds. */
const times = new Map()
const temporary = []

try {
  await main()
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(`npm test: ${error.message}`)
  process.exitCode = 1
} finally {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true })
}

async function main() {
  await setup()
  const all = testFiles()
  const chosen = all.filter((file) =>
    patterns.length === 0 ? !file.startsWith('test/long/') : patterns.some((pattern) => file.includes(pattern)),
  )
  if (chosen.length === 0) throw new SetupError(`no test file has ${patterns.map((pattern) => `"${pattern}"`).join(' or ')} in its path`)
  const asRoot = chosen.filter((file) => /^test\/(root|long)\//.test(file))
  const plain = chosen.filter((file) => !asRoot.includes(file))

  const missing = isRoot && (patterns.length === 0 || asRoot.length > 0) ? await installMissing() : []
  if (patterns.length === 0) {
    await check('biome', [join('node_modules', '@biomejs', 'biome', 'bin', 'biome'), 'check', '.'])
    await check('layout', [join('dist', 'scripts', 'check-layout.js')])
  }
  const where = plain.length > 0 ? (isRoot ? unprivileged() : { cwd: root, env: process.env }) : undefined
  // Whole processes with leases that run out want the machine for themselves; what is pure can share it.
  const pure = plain.filter((file) => /^(test\/(base|core|sim|node|layout)|jepsen-like\/)/.test(file))
  const whole = plain.filter((file) => file.startsWith('test/scripts/'))
  const contract = plain.filter((file) => !pure.includes(file) && !whole.includes(file))
  if (pure.length > 0) await runTests('unit and simulation tests', pure, where)
  const real = runnableAsRoot(asRoot, missing)
  const one = async (file) => runTests('tests of the real parts', [file], { cwd: root, env: process.env }, 1, true)
  await Promise.all([
    (async () => {
      for (let file = real.shift(); file !== undefined; file = real.shift()) await one(file)
    })(),
    (async () => {
      if (contract.length > 0) await runTests('contract tests', contract, where, 1)
      for (let file = real.pop(); file !== undefined; file = real.pop()) await one(file)
    })(),
  ])
  if (whole.length > 0) await runTests('tests with whole clusters', whole, where, 1)
  report(missing)
}

/** Sources of all compiled test files, as paths from the root of the checkout with the ending .js. */
function testFiles() {
  const dist = join(root, 'dist')
  return ['test', 'jepsen-like', 'scripts']
    .filter((folder) => existsSync(join(dist, folder)))
    .flatMap((folder) => readdirSync(join(dist, folder), { recursive: true }).map((path) => join(folder, path)))
    .filter((path) => path.endsWith('.test.js'))
    .sort()
}

async function check(name, args) {
  console.log(`check: ${name}`)
  if ((await run(process.execPath, args, { cwd: root, env: process.env })) !== 0) failed.push(`the check "${name}"`)
}

/** What takes longest comes first; what cannot be run here is noted. */
function runnableAsRoot(files, missing) {
  if (!isRoot) {
    for (const file of files) notRun.push([file, 'it needs root'])
    return []
  }
  const runnable = files.filter((file) => {
    const lacking = needs(file).filter((name) => missing.includes(name))
    if (lacking.length > 0) notRun.push([file, `it needs ${lacking.join(', ')}, which could not be installed`])
    return lacking.length === 0
  })
  const rank = (file) => longest.findIndex((name) => file.endsWith(`/${name}.test.js`)) + 1 || longest.length + 1
  return runnable.toSorted((a, b) => rank(a) - rank(b))
}

function needs(file) {
  const header = readFileSync(join(root, 'dist', file), 'utf8').slice(0, 4_000)
  return (/^[\s/*]*needs: (.*)$/m.exec(header)?.[1] ?? '').split(/[\s,]+/).filter((name) => name !== '')
}

/** `held`: what it says is shown when it is through, for another run speaks meanwhile. */
async function runTests(title, files, { cwd, env, uid }, concurrency = availableParallelism(), held = false) {
  const folder = temporaryFolder(uid)
  const tally = join(folder, 'tally.json')
  const heading = `\n${title}${uid === undefined ? (isRoot ? ', as root' : '') : ', as nobody'}: ${files.length === 1 ? files[0] : `${files.length} files`}`
  if (!held) console.log(heading)
  const args = [
    '--test',
    `--test-concurrency=${concurrency}`,
    `--test-timeout=${fileMax}`,
    '--test-reporter=spec',
    '--test-reporter-destination=stdout',
    '--test-reporter=./scripts/tally.mjs',
    `--test-reporter-destination=${tally}`,
    ...files.map((file) => join('dist', file)),
  ]
  const surroundings = { ...env, TMPDIR: folder, HOME: folder }
  const status = await run(process.execPath, args, { cwd, env: surroundings, uid, heading: held ? heading : undefined })
  if (status !== 0) failed.push(held ? files.join() : title)
  if (!existsSync(tally)) return
  const { counts, skipped, failures: words, seconds } = JSON.parse(readFileSync(tally, 'utf8'))
  for (const [name, number] of Object.entries(counts)) totals.set(name, (totals.get(name) ?? 0) + number)
  notRun.push(...skipped)
  failures.push(...words)
  const took = times.get(title) ?? { whole: 0, files: [] }
  times.set(title, { whole: took.whole + counts.duration_ms / 1_000, files: [...took.files, ...Object.entries(seconds)] })
}

/** Where and how tests run without root; a checkout that "nobody" cannot read is copied to where it can. */
function unprivileged() {
  const env = { ...process.env, USER: 'nobody', LOGNAME: 'nobody' }
  const search = ['.', '-name', '.git', '-prune', '-o', '!', '-readable', '-print', '-quit']
  const unreadable = spawnSync('find', search, { cwd: root, uid: nobody, gid: nobody, encoding: 'utf8' })
  if (unreadable.status === 0 && unreadable.stdout === '') return { cwd: root, env, uid: nobody }
  const copy = temporaryFolder()
  console.log(`copying the checkout to ${copy}, for "nobody" cannot read it where it is`)
  cpSync(root, copy, { recursive: true, filter: (path) => !/^(\.git|\.demo|build.*)$/.test(relative(root, path)) })
  spawnSync('chown', ['-R', `${nobody}:${nobody}`, copy])
  return { cwd: copy, env, uid: nobody }
}

function temporaryFolder(owner) {
  const folder = mkdtempSync(join(tmpdir(), 'quorate-test-'))
  temporary.push(folder)
  if (owner !== undefined) chownSync(folder, owner, owner)
  else chmodSync(folder, 0o711) // As /tmp is for root's services of other users: they may pass.
  return folder
}

/**
 * Resolves with the exit status. Signals go on to what runs; Node drops supplementary groups together with the user. With a heading,
 * what it says is held back until it has ended.
 */
function run(command, args, { cwd, env, uid, heading }) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd,
      env,
      stdio: heading === undefined ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'pipe', 'pipe'],
      ...(uid === undefined ? {} : { uid, gid: uid }),
    })
    const said = []
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => said.push(bytes))
    let interrupted = false
    const pass = (signal) => {
      interrupted = true
      child.kill(signal)
    }
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, pass)
    const done = (status) => {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.off(signal, pass)
      if (interrupted) reject(new SetupError('interrupted'))
      else resolve(status)
    }
    child.once('error', (error) => {
      console.error(`${command}: ${error.message}`)
      done(1)
    })
    child.once('exit', async (status) => {
      // What it started may hold its output open longer than it lives.
      if (heading !== undefined) await Promise.race([once(child, 'close'), setTimeout(2_000)])
      if (heading !== undefined) process.stdout.write(`${heading}\n${Buffer.concat(said)}`)
      done(status ?? 1)
    })
  })
}

function report(missing) {
  if (missing.length > 0) notRun.push([`Debian packages ${missing.join(', ')}`, 'they could not be installed'])
  if (notRun.length > 0) {
    console.log('\nnot run:')
    for (const [what, why] of notRun) console.log(`  ${what}: ${why}`)
    if (process.env.CI === 'true') failed.push('something was not run, and CI=true')
  }
  for (const [title, { whole, files }] of times) {
    const slowest = files.toSorted(([, a], [, b]) => b - a).slice(0, slowestMax)
    console.log(`\n${title} took ${whole.toFixed(0)} s; the slowest: ${slowest.map(([file, s]) => `${file} ${s.toFixed(0)}`).join(', ')}`)
  }
  console.log(failed.length === 0 ? '\nall passed' : `\nFAILED: ${failed.join('; ')}`)
  for (const [name, file, words] of failures) {
    console.log(`\n${relative(root, file)}: ${name}`)
    console.log(words.slice(0, wordsMax).replaceAll(/^/gm, '  '))
  }
  console.log('\ntotals of all runs')
  for (const [name, number] of totals) console.log(`# ${name} ${Math.round(number)}`)
  if (failed.length > 0) process.exitCode = 1
}
