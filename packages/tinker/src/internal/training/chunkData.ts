import type { Datum } from "@effect-tinker/protocol/Datum"
import { byteLength } from "@effect-tinker/protocol/Datum"

/**
 * Splits data into requests, in order: a chunk is closed before a datum that would bring it over either limit. A datum
 * larger than the limit travels alone.
 */
export const chunkData = (
  data: ReadonlyArray<Datum>,
  limits: { readonly maxLength: number; readonly maxBytes: number }
): ReadonlyArray<ReadonlyArray<Datum>> => {
  const chunks: Array<Array<Datum>> = []
  let chunk: Array<Datum> = []
  let bytes = 0
  for (const datum of data) {
    const size = byteLength(datum)
    if (chunk.length > 0 && (chunk.length >= limits.maxLength || bytes + size > limits.maxBytes)) {
      chunks.push(chunk)
      chunk = []
      bytes = 0
    }
    chunk.push(datum)
    bytes += size
  }
  if (chunk.length > 0) chunks.push(chunk)
  return chunks
}
