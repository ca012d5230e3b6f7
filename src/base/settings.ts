/**
 * Every replicated setting: key, bounds, default per profile, meaning. The type, the parser, the API's schema and the
 * documentation page are derived from this table.
 *
 * Relations between settings are invariants too: `checkSettings` names the violated one with the numbers put in.
 */
import { ClusterError, nearestName } from './errors.js'
import { formatDuration, parseDuration } from './time.js'

export const profiles = ['fast', 'normal', 'slow'] as const
export type Profile = (typeof profiles)[number]

interface DurationSetting {
  readonly kind: 'duration'
  /** Milliseconds in each profile. */
  readonly fallback: Readonly<Record<Profile, number>>
  readonly min: number
  readonly max: number
  readonly doc: string
}
interface CountSetting {
  readonly kind: 'count'
  readonly fallback: Readonly<Record<Profile, number>>
  readonly min: number
  readonly max: number
  readonly doc: string
}
interface SwitchSetting {
  readonly kind: 'switch'
  readonly fallback: Readonly<Record<Profile, boolean>>
  readonly doc: string
}
export type Setting = DurationSetting | CountSetting | SwitchSetting

function duration(
  setting: Omit<DurationSetting, 'kind' | 'fallback'> & { fallback: number | readonly [number, number, number] },
): DurationSetting {
  return { ...setting, kind: 'duration', fallback: perProfile(setting.fallback) }
}
function count(setting: Omit<CountSetting, 'kind' | 'fallback'> & { fallback: number }): CountSetting {
  return { ...setting, kind: 'count', fallback: perProfile(setting.fallback) }
}
function perProfile(fallback: number | readonly [number, number, number]): Record<Profile, number> {
  const [fast, normal, slow] = typeof fallback === 'number' ? [fallback, fallback, fallback] : fallback
  return { fast, normal, slow }
}

export const settings = {
  heartbeatInterval: duration({
    fallback: [50, 150, 500],
    min: 20,
    max: 5_000,
    doc: 'Time between two heartbeats to each node, over each link.',
  }),
  query: duration({
    fallback: [150, 450, 1_500],
    min: 60,
    max: 60_000,
    doc: 'Silence after which a node is suspected and asked over every path.',
  }),
  challenge: duration({
    fallback: [225, 675, 2_250],
    min: 80,
    max: 90_000,
    doc: 'Silence after which a case is committed and the node must answer in the log.',
  }),
  condemned: duration({ fallback: [300, 900, 3_000], min: 100, max: 110_000, doc: 'Silence after which a node is condemned and fenced.' }),
  lease: duration({
    fallback: [3_000, 3_000, 30_000],
    min: 1_000,
    max: 120_000,
    doc: 'A node that cannot renew in this time stops its groups.',
  }),
  emergencyStop: duration({
    fallback: 5_000,
    min: 500,
    max: 60_000,
    doc: 'Time the guardian has to end everything once the lease has run out.',
  }),
  raftHeartbeat: duration({ fallback: [40, 40, 200], min: 10, max: 2_000, doc: 'Time between two Raft heartbeats of an idle leader.' }),
  electionTimeoutMin: duration({
    fallback: [200, 200, 1_000],
    min: 50,
    max: 20_000,
    doc: 'Shortest silence of the leader before a node stands for election.',
  }),
  electionTimeoutMax: duration({
    fallback: [400, 400, 2_000],
    min: 60,
    max: 30_000,
    doc: 'Longest silence of the leader before a node stands for election.',
  }),
  daemonRestart: duration({
    fallback: [1_500, 1_500, 5_000],
    min: 500,
    max: 30_000,
    doc: 'Time from the death of a daemon to its next renewed lease.',
  }),
  startGrace: duration({
    fallback: 180_000,
    min: 1_000,
    max: 3_600_000,
    doc: 'How long a node that nobody has heard since its own start may be missing before a case is opened.',
  }),
  idempotencyWindow: duration({
    fallback: 86_400_000,
    min: 60_000,
    max: 604_800_000,
    doc: 'Log time for which the answer to a request id is kept.',
  }),
  verifyInterval: duration({
    fallback: 60_000,
    min: 1_000,
    max: 86_400_000,
    doc: 'How often every node reads the status of the others’ fence devices, so that a path that fails is known before it is needed.',
  }),
  fencingMax: count({
    fallback: 6,
    min: 1,
    max: 1_000,
    doc: 'Fencings that may happen on their own within fencingWindow; further ones wait for a person.',
  }),
  fencingWindow: duration({ fallback: 600_000, min: 10_000, max: 86_400_000, doc: 'Window for fencingMax.' }),
  causesMax: count({
    fallback: 20,
    min: 1,
    max: 1_000,
    doc: 'Causes of automatic moves within causesWindow: a lost node is one, and a group that leaves its node for failures; further ones wait for a person.',
  }),
  causesWindow: duration({ fallback: 600_000, min: 10_000, max: 86_400_000, doc: 'Window for causesMax.' }),
  poisonWindow: duration({
    fallback: 60_000,
    min: 0,
    max: 3_600_000,
    doc: 'A group whose start was followed by the loss of its node within this time, on two nodes, rests in POISON until it is cleared; 0 turns that off.',
  }),
  quarantineThreshold: count({
    fallback: 3,
    min: 0,
    max: 100,
    doc: 'So many losses of a node within quarantineWindow put it into quarantine: it votes and hosts nothing; 0 turns that off.',
  }),
  quarantineWindow: duration({ fallback: 3_600_000, min: 10_000, max: 604_800_000, doc: 'Window for quarantineThreshold.' }),
  quarantineDuration: duration({
    fallback: 7_200_000,
    min: 10_000,
    max: 604_800_000,
    doc: 'How long a node stays in quarantine unless a person releases it.',
  }),
  journalEvents: count({ fallback: 10_000, min: 100, max: 200_000, doc: 'Events kept in the replicated journal.' }),
  decisionsKept: count({ fallback: 1_000, min: 50, max: 20_000, doc: 'Decisions kept with their inputs.' }),
  storeValueMax: count({
    fallback: 65_536,
    min: 1_024,
    max: 1_048_576,
    doc: 'Largest value of a store key, in bytes; a larger checkpoint is kept in parts.',
  }),
  acceptGuardianLease: {
    kind: 'switch',
    fallback: { fast: false, normal: false, slow: false },
    doc: 'Believe an expired lease of a node without an armed watchdog. Protection then shows weak.',
  },
} as const satisfies Readonly<Record<string, Setting>>

export type SettingKey = keyof typeof settings
type SettingValue<Key extends SettingKey> = (typeof settings)[Key]['kind'] extends 'switch' ? boolean : number
/** Durations are milliseconds. */
export type Settings = { readonly profile: Profile } & { readonly [Key in SettingKey]: SettingValue<Key> }
/** What an administrator has set; everything else follows from the profile. */
export type SettingsPatch = { readonly profile?: Profile } & { readonly [Key in SettingKey]?: SettingValue<Key> | string | null }

/** Bound on the ratio of any two nodes' clock rates, as a share. */
export const clockDrift = 0.1

export const settingKeys = Object.keys(settings) as readonly SettingKey[]

/** The settings in force: the profile's values with the administrator's over them. */
export function effectiveSettings(chosen: Readonly<Record<string, unknown>>): Settings {
  const profile = (chosen.profile ?? 'normal') as Profile
  const values: Record<string, unknown> = { profile }
  for (const key of settingKeys) values[key] = chosen[key] ?? settings[key].fallback[profile]
  return values as unknown as Settings
}

/**
 * Merges a patch (`null` returns a setting to its profile's value) and checks the whole set.
 * Errors: UNKNOWN_KEY, INVALID, IMPOSSIBLE_SETTINGS.
 */
export function patchSettings(
  chosen: Readonly<Record<string, unknown>>,
  patch: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...chosen }
  for (const [key, value] of Object.entries(patch)) {
    if (key === 'profile') {
      if (!profiles.includes(value as Profile)) {
        throw new ClusterError('INVALID', `profile is ${JSON.stringify(value)}`, { fix: `choose one of ${profiles.join(', ')}` })
      }
      merged.profile = value
    } else if (!Object.hasOwn(settings, key)) {
      const nearest = nearestName(key, ['profile', ...settingKeys])
      throw new ClusterError('UNKNOWN_KEY', `there is no setting "${key}"`, {
        fix: nearest === undefined ? 'see GET /v1/settings for all of them' : `did you mean "${nearest}"?`,
      })
    } else if (value === null) {
      delete merged[key]
    } else {
      merged[key] = parseSetting(key as SettingKey, value)
    }
  }
  const problem = checkSettings(effectiveSettings(merged))
  if (problem !== undefined) throw problem
  return merged
}

function parseSetting(key: SettingKey, value: unknown): number | boolean {
  const setting: Setting = settings[key]
  if (setting.kind === 'switch') {
    if (typeof value !== 'boolean') throw new ClusterError('INVALID', `${key} is ${JSON.stringify(value)}`, { fix: 'use true or false' })
    return value
  }
  if (typeof value !== 'number' && !(setting.kind === 'duration' && typeof value === 'string')) {
    throw new ClusterError('INVALID', `${key} is ${JSON.stringify(value)}`, {
      fix: setting.kind === 'duration' ? 'use a duration such as "300ms" or "5s"' : 'use a whole number',
    })
  }
  const parsed = setting.kind === 'duration' ? parseDuration(value) : Number(value)
  if (!Number.isSafeInteger(parsed) || parsed < setting.min || parsed > setting.max) {
    const show = (bound: number) => (setting.kind === 'duration' ? formatDuration(bound) : String(bound))
    throw new ClusterError('INVALID', `${key} is ${JSON.stringify(value)}`, {
      fix: `stay between ${show(setting.min)} and ${show(setting.max)}`,
    })
  }
  return parsed
}

/** The first inequality that the set violates, with its numbers; undefined when all hold. */
export function checkSettings(s: Settings): ClusterError | undefined {
  const rising: readonly (readonly [SettingKey, SettingKey])[] = [
    ['heartbeatInterval', 'query'],
    ['query', 'challenge'],
    ['challenge', 'condemned'],
    ['condemned', 'lease'],
    ['electionTimeoutMin', 'electionTimeoutMax'],
  ]
  for (const [less, more] of rising) {
    if (!(s[less] < s[more])) return impossible(`${less} < ${more}`, `${s[less]} < ${s[more]}`, [less, more])
  }
  if (!(2 * s.raftHeartbeat < s.electionTimeoutMin)) {
    return impossible('2 × raftHeartbeat < electionTimeoutMin', `2 × ${s.raftHeartbeat} < ${s.electionTimeoutMin}`, [
      'raftHeartbeat',
      'electionTimeoutMin',
    ])
  }
  if (!(3 * s.electionTimeoutMax + s.daemonRestart < s.lease)) {
    return impossible('3 × electionTimeoutMax + daemonRestart < lease', `3 × ${s.electionTimeoutMax} + ${s.daemonRestart} < ${s.lease}`, [
      'electionTimeoutMax',
      'daemonRestart',
      'lease',
    ])
  }
  return undefined
}

function impossible(rule: string, numbers: string, keys: readonly SettingKey[]): ClusterError {
  return new ClusterError('IMPOSSIBLE_SETTINGS', `${rule} does not hold: ${numbers} (milliseconds)`, {
    fix: `change ${keys.join(' or ')} so that ${rule}`,
    facts: { rule, numbers },
  })
}
