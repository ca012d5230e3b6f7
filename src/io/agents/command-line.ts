/** Parameters of type `command` as a program to run. */
import type { ParameterValue } from '../../core/cluster/index.js'

/** A text is for the shell, a list is the program with its arguments. */
export function argvOf(value: ParameterValue | undefined): readonly string[] {
  return Array.isArray(value) ? (value as readonly string[]) : ['/bin/sh', '-c', String(value)]
}

export interface CommandOptions {
  readonly environment: Record<string, string>
  readonly workingDirectory?: string
  readonly user?: string
}

export function commandOptions(parameters: { readonly [name: string]: ParameterValue }): CommandOptions {
  const { environment, workingDirectory, user } = parameters
  const variables = typeof environment === 'object' ? Object.entries(environment).map(([name, value]) => [name, String(value)]) : []
  return {
    environment: Object.fromEntries(variables),
    ...(workingDirectory === undefined ? {} : { workingDirectory: String(workingDirectory) }),
    ...(user === undefined ? {} : { user: String(user) }),
  }
}
