/**
 * Puts the Debian packages of the real parts on this machine, for tests as root. Starts and enables nothing.
 *
 * While packages are installed, a policy-rc.d of ours tells their scripts to start no service (Debian policy §9.3.3.1); what stood
 * there before is put back, whatever happens. Units that an installation enabled are disabled again.
 */
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from './setup.mjs'

/** Name and what the tests need it for. */
export const packages = [
  ['resource-agents', 'OCF agents that groups run'],
  ['fence-agents', 'fence agents, against a simulated device'],
  ['openipmi', 'a simulated management controller for them'],
  ['ipmitool', 'what fence_ipmilan calls'],
  ['nginx-light', 'a real service to fail over'],
  ['redis-server', 'a real service with a primary'],
  ['postgresql', 'a database with replicas'],
  ['iproute2', 'addresses, links and network namespaces'],
  ['nftables', 'shared addresses and cut networks'],
  ['iputils-arping', 'duplicate check and announcement of addresses'],
  ['psmisc', 'fuser, which agents call'],
  ['kmod', 'the software watchdog'],
  ['tgt', 'an iSCSI target with persistent reservations'],
  ['libiscsi7', 'sessions with shared disks, in user space'],
  ['python3', 'the program that keeps them'],
  ['sg3-utils', 'persistent reservations of block devices, by sg_persist'],
  ['openssh-server', 'the way to the hosts of a cluster that is broken on purpose; a test starts it for itself'],
  ['openssh-client', 'the same'],
  ['dbus', 'the bus over which systemd is asked'],
  ['podman', 'a container as a resource; its image is made by the test'],
  ['crun', 'what podman runs containers with'],
  ['busybox-static', 'what is in that image'],
  ['systemd-container', 'a machine with systemd as its first process, for units as resources'],
]

const policy = '/usr/sbin/policy-rc.d'
const kept = '/usr/sbin/policy-rc.d.before-quorate-test'
const ours = '#!/bin/sh\n# Placed by Quorate’s npm test while it installs packages: no service is started.\nexit 101\n'

/** Installs what is missing and resolves with the names that could not be had. Rejects where a signal came, after cleaning up. */
export async function installMissing() {
  if (isOurs()) restorePolicy() // An earlier run was killed.
  if (spawnSync('dpkg-query', ['--version']).error !== undefined) return packages.map(([name]) => name)
  const missing = packages.filter(([name]) => !isInstalled(name))
  if (missing.length === 0) return []
  console.log('Debian packages to be installed for tests of the real parts, as root; no service is started or enabled:')
  for (const [name, why] of missing) console.log(`  ${name.padEnd(16)} ${why}`)

  const names = missing.map(([name]) => name)
  const enabledBefore = new Set(enabledUnits())
  placePolicy()
  // With a handler, a signal ends apt-get and then this process, and not this process alone.
  let signalled = false
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  const stop = () => {
    signalled = true
  }
  for (const signal of signals) process.on(signal, stop)
  try {
    if (!names.every(isKnown)) await apt(['update'])
    // The lists may name versions that the mirror no longer has.
    if (!(await install(names)) && !signalled) {
      await apt(['update'])
      if (!signalled && !(await install(names))) for (const name of names) if (!signalled) await install([name])
    }
  } finally {
    restorePolicy()
    for (const signal of signals) process.off(signal, stop)
    disable(enabledUnits().filter((path) => !enabledBefore.has(path)))
  }
  if (signalled) throw new SetupError('interrupted')
  return names.filter((name) => !isInstalled(name))
}

function isInstalled(name) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the braces are dpkg-query's own.
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Abbrev}', name], { encoding: 'utf8' })
  return stdout.startsWith('ii')
}

function isKnown(name) {
  const { stdout } = spawnSync('apt-cache', ['policy', name], { encoding: 'utf8' })
  return /Candidate: (?!\(none\))/.test(stdout ?? '')
}

function install(names) {
  return apt(['install', '-y', '--no-install-recommends', ...names])
}

/** Its output is shown only where it fails. Signals are passed on. */
function apt(args) {
  return new Promise((resolve) => {
    const child = spawn('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=300', '-o', 'Dpkg::Use-Pty=0', ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' },
    })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
      })
    }
    const pass = (signal) => child.kill(signal)
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
    for (const signal of signals) process.on(signal, pass)
    const done = (succeeded) => {
      for (const signal of signals) process.off(signal, pass)
      if (!succeeded) console.log(`apt-get ${args.join(' ')} failed:\n${output}`)
      resolve(succeeded)
    }
    child.once('error', () => done(false))
    child.once('close', (status) => done(status === 0))
  })
}

function placePolicy() {
  if (existsSync(policy)) renameSync(policy, kept)
  writeFileSync(policy, ours)
  chmodSync(policy, 0o755)
}

function restorePolicy() {
  if (existsSync(kept)) renameSync(kept, policy)
  else if (isOurs()) rmSync(policy)
}

function isOurs() {
  return existsSync(policy) && readFileSync(policy, 'utf8') === ours
}

/** The links by which systemd and init find what to start. */
function enabledUnits() {
  const folders = [
    '/etc/systemd/system',
    ...readdirSync('/etc')
      .filter((name) => /^rc\d\.d$/.test(name))
      .map((name) => join('/etc', name)),
  ]
  return folders
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => ({
        entry,
        path: join(entry.parentPath ?? entry.path, entry.name),
      })),
    )
    .filter(({ entry, path }) => entry.isSymbolicLink() && (path.startsWith('/etc/systemd') || /\/S\d\d[^/]+$/.test(path)))
    .map(({ path }) => path)
}

/** As an administrator would have it: `systemctl disable`, `update-rc.d disable`. */
function disable(paths) {
  for (const path of paths) {
    const script = /^\/etc\/rc\d\.d\/S\d\d(.+)$/.exec(path)?.[1]
    if (script !== undefined) spawnSync('update-rc.d', [script, 'disable'], { stdio: 'ignore' })
    else rmSync(path, { force: true })
  }
}
