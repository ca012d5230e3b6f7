/** Files that go with a group: read where it runs, put back where it is to run, and where their bytes wait in between. */

export { type FileNow, putBack, readFileNow, type WantedFile } from './files.js'
export { type CapturedEntry, CarriedFolders, type StagedItem, type Staging } from './folders.js'
