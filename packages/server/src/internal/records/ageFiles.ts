/** Files that only those can read whom they are for. Source of the format: age-encryption.org/v1. */
import * as Effect from "effect/Effect"

/** What is behind the names of such files. */
export const suffix = ".age"

/** The library, loaded at the first need, which most servers never have. */
const library = Effect.promise(() => import("age-encryption"))

/** Encrypts bytes for native public keys. Lets others have the processor between two parts of the file. */
export const encrypt = (bytes: Uint8Array, recipients: ReadonlyArray<string>): Effect.Effect<Uint8Array> =>
  Effect.gen(function*() {
    const { Encrypter } = yield* library
    const encrypter = new Encrypter()
    for (const recipient of recipients) encrypter.addRecipient(recipient)
    const encrypted = yield* Effect.promise(() => encrypter.encrypt(inParts(bytes)))
    const reader = encrypted.getReader()
    const all = new Uint8Array(encrypted.size(bytes.length))
    let size = 0
    for (;;) {
      const { done, value } = yield* Effect.promise(() => reader.read())
      if (done) return all
      all.set(value, size)
      size += value.length
      yield* Effect.yieldNow()
    }
  })

const inParts = (bytes: Uint8Array): ReadableStream<Uint8Array> => {
  let offset = 0
  return new ReadableStream<Uint8Array>({
    pull: (controller) => {
      if (offset < bytes.length) controller.enqueue(bytes.subarray(offset, offset += partBytes))
      else controller.close()
    }
  })
}

/** The size of a part, in bytes: as many as the format encrypts at a time. */
const partBytes = 64 * 1024
