/** Files as they are sent: from any byte on, without being in memory as a whole. */
import * as Chunk from "effect/Chunk"
import * as Stream from "effect/Stream"
import type { ServerError } from "../../ServerError.js"

export interface Content {
  readonly sizeBytes: number
  /** The bytes from one on to the end. */
  readonly read: (offset: number) => Stream.Stream<Uint8Array, ServerError>
}

export const ofBytes = (bytes: Uint8Array): Content => ({
  sizeBytes: bytes.length,
  read: (offset) => Stream.fromChunk(Chunk.of(bytes.subarray(offset)))
})

/** One after another. */
export const concat = (contents: ReadonlyArray<Content>): Content => ({
  sizeBytes: contents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  read: (offset) => {
    let before = 0
    let all: Stream.Stream<Uint8Array, ServerError> = Stream.empty
    for (const { read, sizeBytes } of contents) {
      const from = Math.max(offset - before, 0)
      if (from < sizeBytes) all = Stream.concat(all, Stream.suspend(() => read(from)))
      before += sizeBytes
    }
    return all
  }
})

/** A tar archive of files with short names. Source: POSIX.1-2017, "ustar". */
export const tar = (files: ReadonlyArray<Content & { readonly name: string }>): Content =>
  concat([
    ...files.flatMap((file) => [
      ofBytes(header(file.name, file.sizeBytes)),
      file,
      ofBytes(new Uint8Array((blockBytes - file.sizeBytes % blockBytes) % blockBytes))
    ]),
    ofBytes(new Uint8Array(2 * blockBytes))
  ])

const blockBytes = 512

const header = (name: string, size: number): Uint8Array => {
  const block = new Uint8Array(blockBytes)
  const write = (text: string, offset: number) => block.set(new TextEncoder().encode(text), offset)
  write(name, 0)
  write("0000644\0", 100)
  write("0000000\0", 108)
  write("0000000\0", 116)
  write(`${size.toString(8).padStart(11, "0")}\0`, 124)
  write("00000000000\0", 136)
  write("        ", 148)
  write("0", 156)
  write("ustar\x0000", 257)
  const sum = block.reduce((sum, byte) => sum + byte, 0)
  write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}
