import * as Either from "effect/Either"
import { spelled } from "./byteLevel.js"

/**
 * The tokens of a tiktoken file by their bytes, each as its letter: one a line, in base 64, and its id behind it. Left is what is wrong.
 */
export const readRanks = (text: string): Either.Either<ReadonlyMap<string, number>, string> => {
  const ranks = new Map<string, number>()
  const ids = new Set<number>()
  let number = 0
  for (const line of text.split(/\r?\n/)) {
    number += 1
    if (line === "") continue
    const [, token, digits] = /^([A-Za-z0-9+/]+={0,2}) (\d{1,10})$/.exec(line) ?? []
    const bytes = token === undefined ? undefined : bytesOf(token)
    const id = Number(digits)
    if (bytes === undefined || id >= 2 ** 31) {
      return Either.left(`has a line ${number} that is no token in base 64 with its id behind it`)
    }
    const name = spelled(bytes)
    if (ranks.has(name) || ids.has(id)) {
      return Either.left(`has a line ${number} with a token or an id that came before`)
    }
    ranks.set(name, id)
    ids.add(id)
  }
  for (let byte = 0; byte < 256; byte++) {
    if (!ranks.has(spelled(Uint8Array.of(byte)))) return Either.left(`has no token for the byte ${byte}`)
  }
  return Either.right(ranks)
}

const bytesOf = (base64: string): Uint8Array | undefined => {
  try {
    const binary = atob(base64)
    const bytes = new Uint8Array(binary.length)
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i)
    return bytes
  } catch {
    return undefined
  }
}
