/** A commit as the Hub takes it: a line of JSON each for what it says and for every file, those that are small with their bytes. */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { LfsFile, LocalFile } from "./lfsUpload.js"

/** Its bytes, and how many they are: a small file is read as it is sent, and never held whole. */
export const encode = ({ large, small, summary }: {
  readonly summary: string
  readonly small: ReadonlyArray<LocalFile>
  readonly large: ReadonlyArray<LfsFile>
}): Effect.Effect<
  { readonly bytes: Stream.Stream<Uint8Array, unknown>; readonly length: number },
  never,
  FileSystem.FileSystem
> =>
  Effect.map(FileSystem.FileSystem, (files) => {
    const lines = [
      { key: "header", value: { summary, description: "" } },
      ...large.map(({ name, sha256, size }) => ({
        key: "lfsFile",
        value: { path: name, algo: "sha256", oid: sha256, size }
      }))
    ].map((line) => bytesOf(`${JSON.stringify(line)}\n`))
    const contents = small.map((file) => ({
      file,
      before: bytesOf(`{"key":"file","value":{"path":${JSON.stringify(file.name)},"encoding":"base64","content":"`)
    }))
    const after = bytesOf("\"}}\n")
    const length = lines.reduce((sum, line) => sum + line.length, 0) +
      contents.reduce(
        (sum, { before, file: { size } }) => sum + before.length + 4 * Math.ceil(size / 3) + after.length,
        0
      )
    const bytes = contents.reduce<Stream.Stream<Uint8Array, unknown>>(
      (all, { before, file }) =>
        all.pipe(
          Stream.concat(Stream.make(before)),
          Stream.concat(base64(files.stream(file.place, { chunkSize: encodedAtOnce }))),
          Stream.concat(Stream.make(after))
        ),
      Stream.fromIterable(lines)
    )
    return { bytes, length }
  })

const encodedAtOnce = 3 * 2 ** 16

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)

/** Base64 of a stream, whose parts may end anywhere. */
const base64 = <E>(bytes: Stream.Stream<Uint8Array, E>): Stream.Stream<Uint8Array, E> =>
  Stream.concat(Stream.map(bytes, (part): Uint8Array | undefined => part), Stream.make(undefined)).pipe(
    Stream.mapAccum(Buffer.alloc(0), (left: Buffer, part) => {
      const all = part === undefined ? left : Buffer.concat([left, part])
      const whole = part === undefined ? all.length : all.length - all.length % 3
      return [Buffer.from(all.subarray(whole)), bytesOf(all.toString("base64", 0, whole))]
    }),
    Stream.mapChunks(Chunk.filter((part) => part.length > 0))
  )
