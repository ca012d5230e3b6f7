/**
 * Whether the monitor of this node is there and gets to its work: by its connection and its beats.
 *
 * One that hangs is ended, and its guardian starts it anew: that touches no service, for what runs is in the run records. All of it is
 * told to the log. Time is counted in the ticks of this process, so that its own stall is not the monitor's silence.
 */

export type MonitorWord = 'lost' | 'back' | 'hung' | 'slow' | 'well'

export interface MonitorNote {
  /** Names it among all notes of this life of the daemon. */
  readonly number: number
  readonly what: MonitorWord
  readonly detail: string
}

/** A monitor beats every second. Milliseconds. */
const hungAfter = 10_000
/** One that does not end is told to again. */
const endAgainAfter = 10_000
/** How late it may come to its work, and how often in a row until that is told. */
const lagMax = 1_000
const slowBeats = 3
const wellBeats = 10
const notesMax = 20

/** What the log is to have of the monitors of this node, in its order. */
export class MonitorNotes {
  private numbers = 0
  private readonly notes: MonitorNote[] = []

  get next(): MonitorNote | undefined {
    return this.notes[0]
  }

  told(number: number): void {
    while (this.notes[0] !== undefined && this.notes[0].number <= number) this.notes.shift()
  }

  add(what: MonitorWord, detail: string): void {
    this.notes.push({ number: ++this.numbers, what, detail })
    if (this.notes.length > notesMax) this.notes.shift()
  }
}

/** Of one monitor. */
export class MonitorHealth {
  private readonly notes: MonitorNotes
  /** The group whose own it is. */
  private readonly of: string | undefined
  private state: 'unknown' | 'well' | 'lost' | 'hung' = 'unknown'
  /** Monitors of earlier versions do not beat. */
  private beats = false
  private connected = false
  private silence = 0
  private troubleFor = 0
  private untilEnd = 0
  private late = 0
  private inTime = 0
  private isSlow = false

  constructor(notes: MonitorNotes, of?: string) {
    this.notes = notes
    this.of = of
  }

  /** It has said hello. */
  came(beats: boolean): void {
    this.connected = true
    this.beats = beats
    this.silence = 0
    this.late = 0
    if (this.state === 'lost' || this.state === 'hung') this.note('back', `it is here again after ${seconds(this.troubleFor)}`)
    this.state = 'well'
    this.troubleFor = 0
  }

  heard(): void {
    this.silence = 0
  }

  /** `lagMs`: how late its loop came to what was due, at most, since the last beat. */
  beat(lagMs: number): void {
    this.silence = 0
    if (this.state === 'hung') {
      this.state = 'well'
      this.note('back', `it goes on after ${seconds(this.troubleFor)}`)
      this.troubleFor = 0
    }
    this.late = lagMs >= lagMax ? this.late + 1 : 0
    this.inTime = lagMs >= lagMax ? 0 : this.inTime + 1
    if (!this.isSlow && this.late >= slowBeats) {
      this.isSlow = true
      this.note('slow', `it comes ${seconds(lagMs)} late to its work: the machine is overloaded, or what runs on it takes all processors`)
    } else if (this.isSlow && this.inTime >= wellBeats) {
      this.isSlow = false
      this.note('well', 'it comes to its work in time again')
    }
  }

  gone(): void {
    this.connected = false
    if (this.state === 'well') {
      this.state = 'lost'
      this.note('lost', 'it has ended: its guardian starts it anew, and what it keeps runs on')
    }
  }

  /** Time has passed. True when the monitor is to be ended now. */
  passed(span: number): boolean {
    if (this.state === 'lost' || this.state === 'hung') this.troubleFor += span
    if (!this.connected || !this.beats) return false
    this.silence += span
    this.untilEnd = Math.max(0, this.untilEnd - span)
    if (this.silence < hungAfter || this.untilEnd > 0) return false
    this.untilEnd = endAgainAfter
    if (this.state !== 'hung') {
      this.state = 'hung'
      this.troubleFor = this.silence
      this.note('hung', `nothing has come from it for ${seconds(this.silence)}: it is ended and started anew, and what it keeps runs on`)
    }
    return true
  }

  private note(what: MonitorWord, detail: string): void {
    this.notes.add(what, this.of === undefined ? detail : `that of ${this.of}: ${detail}`)
  }
}

function seconds(span: number): string {
  return `${(span / 1_000).toFixed(1)} s`
}
