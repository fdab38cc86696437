/**
 * Forms with files, as `multipart/form-data`.
 *
 * Source: RFC 7578 and RFC 2046, section 5.1; names are escaped as browsers do (WHATWG HTML standard, section 4.10.21.8).
 */
import { failOnIssues, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { FileInput } from "../../FileInput.js"
import type { MultipartForm } from "../../RawClient.js"
import { concatBytes } from "../concatBytes.js"
import * as FormFields from "./formFields.js"

export interface Multipart {
  /** Names the boundary. */
  readonly contentType: string
  readonly bytes: Uint8Array
}

/**
 * The fields in order, then the files in order. A name may have several files. Fails with `InvalidInputError` for a content type
 * that no header can carry.
 */
export const make = (form: MultipartForm): Effect.Effect<Multipart, InvalidInputError> => {
  const parts = [
    ...FormFields.flatten(form.fields ?? {}).map(([name, text]): Part => ({
      head: `content-disposition: form-data; name="${escape(name)}"`,
      body: encoder.encode(text)
    })),
    ...Object.entries(form.files ?? {}).flatMap(([name, files]) =>
      (isList(files) ? files : [files]).map((file): Part => ({
        head: `content-disposition: form-data; name="${escape(name)}"; filename="${escape(file.name)}"\r\n`
          + `content-type: ${file.contentType}`,
        body: file.bytes
      }))
    )
  ]
  const issues = Object.entries(form.files ?? {}).flatMap(([name, files]) =>
    (isList(files) ? files : [files]).filter(({ contentType }) => !/^[\x20-\x7e]+$/.test(contentType)).map(() => ({
      field: `files.${name}.contentType`,
      description: "is no content type."
    }))
  )
  return Effect.map(Effect.zipRight(failOnIssues("Multipart.make", issues), boundaryOutside(parts)), (boundary) => ({
    contentType: `multipart/form-data; boundary=${boundary}`,
    bytes: concatBytes([
      ...parts.flatMap(({ body, head }) => [encoder.encode(`--${boundary}\r\n${head}\r\n\r\n`), body, lineEnd]),
      encoder.encode(`--${boundary}--\r\n`)
    ])
  }))
}

interface Part {
  readonly head: string
  readonly body: Uint8Array
}

const encoder = new TextEncoder()
const lineEnd = encoder.encode("\r\n")

const isList = (files: FileInput | ReadonlyArray<FileInput>): files is ReadonlyArray<FileInput> => Array.isArray(files)

const escape = (name: string): string => name.replaceAll("\r", "%0D").replaceAll("\n", "%0A").replaceAll("\"", "%22")

const word = Effect.map(Random.nextIntBetween(0, 2 ** 32), (word) => word.toString(16).padStart(8, "0"))

/** A line that is in none of the parts. */
const boundaryOutside = (parts: ReadonlyArray<Part>): Effect.Effect<string> =>
  Effect.map(Effect.all([word, word, word]), (words) => `effect-tinker-${words.join("")}`).pipe(
    Effect.repeat({ until: (boundary) => parts.every(({ body }) => !includes(body, encoder.encode(boundary))) })
  )

const includes = (bytes: Uint8Array, sought: Uint8Array): boolean => {
  for (let at = bytes.indexOf(sought[0]!); at >= 0; at = bytes.indexOf(sought[0]!, at + 1)) {
    let i = 1
    while (i < sought.length && bytes[at + i] === sought[i]) i++
    if (i === sought.length) return true
  }
  return false
}
