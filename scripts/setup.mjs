/**
 * Makes a checkout ready to run: the packages of package-lock.json, and the compiled program in dist/.
 *
 * Does only what is missing and says each step in one line; says nothing when all is there. Plain JavaScript, for it
 * runs before anything is installed. Used by start.mjs and test.mjs, and alone as `npm run build`.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bundle } from './bundle.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, 'dist')
const modules = join(root, 'node_modules')
/** Holds the checksum of the package-lock.json that node_modules was made from. */
const packagesStamp = join(modules, '.quorate-packages')
/** As old as the newest source that dist was made from was at the time. */
const buildStamp = join(dist, '.built')
const lock = join(dist, '.setup-lock')
const sourceFolders = ['src', 'test', 'scripts', 'jepsen-like']

/** What went wrong, in words for whoever typed the command. */
export class SetupError extends Error {}

/** Throws SetupError. */
export async function setup() {
  checkNode()
  mkdirSync(dist, { recursive: true })
  await takeLock()
  try {
    installPackages()
    await build()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function checkNode() {
  const wanted = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).engines.node
  const [major, minor] = (/(\d+)\.(\d+)/.exec(wanted) ?? []).slice(1).map(Number)
  const [ownMajor, ownMinor] = process.versions.node.split('.').map(Number)
  if (ownMajor > major || (ownMajor === major && ownMinor >= minor)) return
  throw new SetupError(`Node.js ${wanted} is needed, this is ${process.versions.node}: install a newer one from https://nodejs.org`)
}

/** One set-up at a time; a lock whose process is gone does not count. */
async function takeLock() {
  for (let told = false; ; ) {
    try {
      mkdirSync(lock)
      writeFileSync(join(lock, 'pid'), String(process.pid))
      return
    } catch (error) {
      if (error.code !== 'EEXIST') throw new SetupError(`cannot write to ${dist}: ${error.message}`)
    }
    const holder = lockHolder()
    if (holder === undefined) {
      rmSync(lock, { recursive: true, force: true })
      continue
    }
    if (!told) say(`waiting for the set-up that process ${holder} is doing`)
    told = true
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** The process that holds the lock; undefined where it is gone. A lock without a pid is one that is just being taken. */
function lockHolder() {
  try {
    if (!existsSync(join(lock, 'pid'))) return Date.now() - statSync(lock).mtimeMs < 2_000 ? 'unknown' : undefined
    const pid = Number(readFileSync(join(lock, 'pid'), 'utf8'))
    process.kill(pid, 0)
    return pid
  } catch (error) {
    return error.code === 'EPERM' ? 'of another user' : undefined
  }
}

function installPackages() {
  const wanted = readFileSync(join(root, 'package-lock.json'))
  const checksum = createHash('sha256').update(wanted).digest('hex')
  if (existsSync(packagesStamp) && readFileSync(packagesStamp, 'utf8') === checksum) return
  if (!isInstalled(JSON.parse(wanted))) {
    say('installing the npm packages of package-lock.json')
    npmInstall()
    if (!isInstalled(JSON.parse(wanted)))
      throw new SetupError('what npm installed is not what package-lock.json names: run npm install and look at the difference')
  }
  writeFileSync(packagesStamp, checksum)
}

/**
 * `npm ci`, or `npm install --no-save` where that refuses: it wants the packages of all other platforms in the lock file, which
 * npm itself does not write where the registry has not got them (npm/cli issue 9846).
 */
function npmInstall() {
  const options = ['--include=dev', '--no-audit', '--no-fund', '--loglevel=error']
  const ci = spawnSync('npm', ['ci', ...options], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  if (ci.status === 0) return
  if (ci.stderr?.includes('EUSAGE')) return run('npm', ['install', '--no-save', ...options], 'the npm packages could not be installed')
  throw new SetupError(`the npm packages could not be installed\n${ci.error?.message ?? ci.stderr}`)
}

/** Whether node_modules, made by other means, holds just what the lock file names. */
function isInstalled(wanted) {
  const list = join(modules, '.package-lock.json')
  if (!existsSync(list)) return false
  const installed = JSON.parse(readFileSync(list, 'utf8')).packages
  const named = Object.entries(wanted.packages).filter(([path]) => path !== '')
  return (
    named.every(([path, { version, optional }]) => installed[path]?.version === version || (optional && installed[path] === undefined)) &&
    Object.keys(installed).every((path) => wanted.packages[path] !== undefined)
  )
}

async function build() {
  const rules = [join(root, 'tsconfig.json'), join(root, 'scripts', 'bundle.mjs'), packagesStamp]
  const sources = [...sourceFolders.flatMap((folder) => listFiles(join(root, folder))), ...rules]
  const newest = String(Math.max(...sources.map((path) => statSync(path).mtimeMs)))
  const state = `${newest} ${sources.length}`
  if (existsSync(buildStamp) && readFileSync(buildStamp, 'utf8') === state) return
  say('compiling')
  rmSync(buildStamp, { force: true })
  run(process.execPath, [join(modules, 'typescript', 'bin', 'tsc'), '-p', root], 'the program does not compile')
  removeOrphans(new Set(sources))
  try {
    await bundle(root)
  } catch (error) {
    throw new SetupError(`the program could not be put together: ${error.message}`)
  }
  writeFileSync(buildStamp, state)
}

/** Output of sources that are gone would still run, as a test for example. */
function removeOrphans(sources) {
  for (const folder of sourceFolders) {
    for (const path of listFiles(join(dist, folder))) {
      const source = join(root, relative(dist, path).replace(/\.js(\.map)?$/, '.ts'))
      if (!sources.has(source)) rmSync(path)
    }
  }
}

function listFiles(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}

function run(command, args, failure) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] })
  if (error !== undefined) throw new SetupError(`${failure}: ${error.message}`)
  if (status !== 0) throw new SetupError(failure)
}

function say(text) {
  console.log(`set-up: ${text}`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    await setup()
  } catch (error) {
    if (!(error instanceof SetupError)) throw error
    console.error(`set-up: ${error.message}`)
    process.exitCode = 1
  }
}
