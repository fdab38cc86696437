/**
 * Hashes of files, taken in as they arrive, and where answers offer them. The hashing of browsers wants a file whole, so
 * these are computed here; runtimes may supply faster ones. They guard against damage, not against malice: who can change
 * the file can change the hash beside it.
 */
import { md5 } from "@noble/hashes/legacy"
import { sha256 } from "@noble/hashes/sha2"
import * as Encoding from "effect/Encoding"

export type Algorithm = "sha-256" | "md5" | "crc32c"

export interface Hasher {
  readonly update: (bytes: Uint8Array) => void
  /** Ends it. */
  readonly digest: () => Uint8Array
}

export interface Digest {
  readonly algorithm: Algorithm
  /** The digest as base64. */
  readonly value: string
}

export const makeHasher = (algorithm: Algorithm): Hasher => {
  switch (algorithm) {
    case "sha-256":
      return sha256.create()
    case "md5":
      return md5.create()
    case "crc32c":
      return crc32c()
  }
}

export const equals = (hasher: Hasher, { value }: Digest): boolean => Encoding.encodeBase64(hasher.digest()) === value

/**
 * The hash of the whole file that an answer offers, the cheapest last. Some headers are of the whole file in every answer
 * that has them, others of what this answer holds, which is the whole file when `whole`.
 *
 * Sources: RFC 9530 (`Repr-Digest`, `Content-Digest`), RFC 3230 (`Digest`), RFC 1864 (`Content-MD5`), and the manuals of
 * Google Cloud Storage (`x-goog-hash`) and Amazon S3 (`x-amz-checksum-…`; with a dash it is no hash of the file).
 */
export const offered = (
  headers: Readonly<Record<string, string | undefined>>,
  whole: boolean
): Digest | undefined => {
  const found = new Map<Algorithm, string>()
  const add = (algorithm: Algorithm, value: string | undefined) => {
    if (value !== undefined && hasLengthOf(algorithm, value) && !found.has(algorithm)) found.set(algorithm, value)
  }
  const addAll = (pairs: ReadonlyArray<readonly [string, string]>) => {
    for (const [name, value] of pairs) {
      const algorithm = algorithms.get(name.toLowerCase())
      if (algorithm !== undefined) add(algorithm, value)
    }
  }
  addAll(structured(headers["repr-digest"]))
  if (whole) addAll(structured(headers["content-digest"]))
  addAll(plain(headers["digest"]))
  addAll(plain(headers["x-goog-hash"]))
  add("sha-256", headers["x-amz-checksum-sha256"])
  add("crc32c", headers["x-amz-checksum-crc32c"])
  if (whole) add("md5", headers["content-md5"])
  for (const algorithm of ["sha-256", "md5", "crc32c"] as const) {
    const value = found.get(algorithm)
    if (value !== undefined) return { algorithm, value }
  }
  return undefined
}

const algorithms = new Map<string, Algorithm>([["sha-256", "sha-256"], ["md5", "md5"], ["crc32c", "crc32c"]])

const lengths: Record<Algorithm, number> = { "sha-256": 32, md5: 16, crc32c: 4 }

const hasLengthOf = (algorithm: Algorithm, value: string): boolean => {
  const decoded = Encoding.decodeBase64(value)
  return decoded._tag === "Right" && decoded.right.length === lengths[algorithm]
}

/** `sha-256=:…:, md5=:…:` */
const structured = (header: string | undefined): ReadonlyArray<readonly [string, string]> =>
  Array.from((header ?? "").matchAll(/([A-Za-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):/g), (match) => [match[1]!, match[2]!])

/** `crc32c=…,md5=…`, also over several headers. */
const plain = (header: string | undefined): ReadonlyArray<readonly [string, string]> =>
  (header ?? "").split(",").flatMap((pair) => {
    const equals = pair.indexOf("=")
    return equals < 0 ? [] : [[pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()] as const]
  })

/** Polynomial 0x1edc6f41, reflected. Source: RFC 3720, appendix B.4. Eight bytes a round, by eight tables. */
const crc32c = (): Hasher => {
  const tables = crcTables ??= makeCrcTables()
  let crc = -1
  return {
    update: (bytes) => {
      let i = 0
      let state = crc
      for (const end = bytes.length - 7; i < end; i += 8) {
        const low = state ^ (bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24))
        state = tables[1792 + (low & 255)]! ^ tables[1536 + ((low >>> 8) & 255)]!
          ^ tables[1280 + ((low >>> 16) & 255)]! ^ tables[1024 + (low >>> 24)]!
          ^ tables[768 + bytes[i + 4]!]! ^ tables[512 + bytes[i + 5]!]!
          ^ tables[256 + bytes[i + 6]!]! ^ tables[bytes[i + 7]!]!
      }
      for (; i < bytes.length; i++) state = tables[(state ^ bytes[i]!) & 255]! ^ (state >>> 8)
      crc = state
    },
    digest: () => bigEndian(~crc)
  }
}

let crcTables: Int32Array | undefined

const makeCrcTables = (): Int32Array => {
  const tables = new Int32Array(8 * 256)
  for (let i = 0; i < 256; i++) {
    let crc = i
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ 0x82f63b78
    tables[i] = crc
  }
  for (let i = 256; i < tables.length; i++) {
    const before = tables[i - 256]!
    tables[i] = tables[before & 255]! ^ (before >>> 8)
  }
  return tables
}

const bigEndian = (word: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(4))
  view.setInt32(0, word)
  return new Uint8Array(view.buffer)
}
