/** Where in a journal's file the newest change of each key is. */
import type * as JournalCopy from "./journalCopy.js"

export interface JournalIndex {
  readonly places: Map<string, JournalCopy.Place>
  /** What all of them would take if they were written alone, in bytes, more or less. */
  live: number
}

export const make = (): JournalIndex => ({ places: new Map(), live: 0 })

/** Puts the place of a key into the index; without a place, the key is forgotten. */
export const set = (index: JournalIndex, key: string, place: JournalCopy.Place | undefined): void => {
  index.live += (place?.bytes ?? 0) - (index.places.get(key)?.bytes ?? 0)
  if (place === undefined) index.places.delete(key)
  else index.places.set(key, place)
}
