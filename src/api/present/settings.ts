/** Settings as the API shows them: what is set, and what is in force. */
import { effectiveSettings, type Setting, type SettingKey, settingKeys, settings } from '../../base/index.js'
import type { Reader } from '../../core/cluster/index.js'
import { shown } from '../schemas/index.js'

/** Durations as people write them. */
export function presentSettings(state: Reader): Record<string, unknown> {
  const inForce = effectiveSettings(state.get('settings', 'cluster') ?? {})
  const values = settingKeys.map((key) => [key, shown(settings[key], inForce[key])])
  return { set: chosenSettings(state), settings: { profile: inForce.profile, ...Object.fromEntries(values) } }
}

/** What was set, as it would be written in a PATCH. */
export function chosenSettings(state: Reader): Record<string, unknown> {
  const row = state.get('settings', 'cluster') ?? {}
  return Object.fromEntries(
    Object.entries(row).map(([key, value]) => {
      const setting: Setting | undefined = settings[key as SettingKey]
      return [key, setting === undefined ? value : shown(setting, value)]
    }),
  )
}
