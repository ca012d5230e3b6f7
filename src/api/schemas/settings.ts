/** The schema of the settings, derived from their table. */
import { formatDuration, profiles, type Setting, type SettingKey, settingKeys, settings } from '../../base/index.js'
import { choice, closed, type Schema } from './schema.js'

function schemaOf(key: SettingKey): Schema {
  const setting: Setting = settings[key]
  const fallbacks = profiles.map((profile) => `${profile}: ${shown(setting, setting.fallback[profile])}`).join(', ')
  const description = `${setting.doc} Default ${fallbacks}; null returns to it.`
  switch (setting.kind) {
    case 'switch':
      return { type: ['boolean', 'null'], description }
    case 'count':
      return { type: ['integer', 'null'], description: `${description} From ${setting.min} to ${setting.max}.` }
    case 'duration':
      return {
        type: ['string', 'integer', 'null'],
        description: `${description} From ${formatDuration(setting.min)} to ${formatDuration(setting.max)}.`,
      }
  }
}

/** A value as people read it. */
export function shown(setting: Setting, value: unknown): unknown {
  return setting.kind === 'duration' && typeof value === 'number' ? formatDuration(value) : value
}

export const settingsSchema = closed(
  {
    profile: choice('Sets every value that is not set itself.', profiles),
    ...Object.fromEntries(settingKeys.map((key) => [key, schemaOf(key)])),
  },
  { title: 'Settings', description: 'What is set; everything else follows from the profile.' },
)
