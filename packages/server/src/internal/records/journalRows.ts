/** What a frame of the journal says: a row for each change, and behind them the bytes of their payloads. */
import * as Frames from "@effect-tinker/engine/Frames"
import type { Change } from "../../ServerJournal.js"

/** Key; with the value, and the bytes of its payload, unless it is forgotten. */
export type Row = readonly [key: string] | readonly [key: string, value: unknown, payloadBytes: number]

/** A frame, and what each of its changes takes when it is written alone, more or less; nothing where it forgets its key. */
export const encode = (
  changes: ReadonlyArray<Change>
): { readonly frame: Uint8Array; readonly notes: ReadonlyArray<readonly [key: string, bytes: number | undefined]> } => {
  const texts = changes.map((change) => JSON.stringify(rowOf(change)))
  const payloads = changes.flatMap(({ payload, value }) =>
    value === undefined || payload === undefined ? [] : [payload]
  )
  return {
    frame: Frames.encode(`[${texts.join(",")}]`, payloads),
    notes: changes.map(({ key, payload, value }, i) => [
      key,
      value === undefined ? undefined : sizeOf(texts[i]!, payload?.byteLength ?? 0)
    ])
  }
}

export const rowsOf = (frame: Frames.Frame): ReadonlyArray<Row> => JSON.parse(frame.text) as ReadonlyArray<Row>

/** What a row takes when it is written alone, more or less. */
export const bytesOf = (row: Row): number => sizeOf(JSON.stringify(row), row[2] ?? 0)

/** What a frame says last of a key. */
export const find = (
  frame: Frames.Frame,
  key: string
): { readonly row: Row; readonly payload: Uint8Array } | undefined => {
  let begin = 0
  let found: { readonly row: Row; readonly payload: Uint8Array } | undefined
  for (const row of rowsOf(frame)) {
    const bytes = row[2] ?? 0
    if (row[0] === key) found = { row, payload: frame.payload.subarray(begin, begin + bytes) }
    begin += bytes
  }
  return found
}

const rowOf = ({ key, payload, value }: Change): Row =>
  value === undefined ? [key] : [key, value, payload?.byteLength ?? 0]

const frameOverhead = 32

const sizeOf = (text: string, payloadBytes: number): number => text.length + payloadBytes + frameOverhead
