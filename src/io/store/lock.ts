/**
 * The data folder's lock: an empty `level` database that stays open as long as the process uses the folder.
 *
 * Node has no file locks, LevelDB does (fcntl on `lock/LOCK`, held by the kernel, which ends it with the process). It is a
 * database of its own because that of the applied state is replaced when a snapshot is installed.
 */
import { join } from 'node:path'
import { openDatabase, type RowDatabase } from './database.js'

/** Closing it lets go. Errors: STORE_LOCKED, STORE_CORRUPT, STORE_FAILED. */
export function lockFolder(folder: string): Promise<Pick<RowDatabase, 'close'>> {
  return openDatabase(join(folder, 'lock'))
}
