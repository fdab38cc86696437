/**
 * Hashes of files, taken in as they arrive, and where answers offer them. The hashing of browsers wants a file whole, so
 * these are written out here; runtimes may supply faster ones. They guard against damage, not against malice: who can
 * change the file can change the hash beside it.
 */
import * as Encoding from "effect/Encoding"

export type Algorithm = "sha-256" | "md5" | "crc32c"

export interface Hasher {
  readonly update: (bytes: Uint8Array) => void
  /** Ends it. */
  readonly digest: () => Uint8Array
}

export interface Digest {
  readonly algorithm: Algorithm
  /** As base64. */
  readonly value: string
}

export const makeHasher = (algorithm: Algorithm): Hasher => {
  switch (algorithm) {
    case "sha-256":
      return blockHasher(sha256)
    case "md5":
      return blockHasher(md5)
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
    digest: () => bigEndian([~crc])
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

/** A hash over blocks of 64 bytes, the last of which tells the length in bits. */
interface BlockHash {
  readonly initial: ReadonlyArray<number>
  readonly compress: (state: Int32Array, bytes: Uint8Array, offset: number) => void
  readonly littleEndian: boolean
}

const blockHasher = ({ compress, initial, littleEndian }: BlockHash): Hasher => {
  const state = Int32Array.from(initial)
  const block = new Uint8Array(64)
  let filled = 0
  let length = 0
  const update = (bytes: Uint8Array): void => {
    length += bytes.length
    let i = 0
    if (filled > 0) {
      i = Math.min(64 - filled, bytes.length)
      block.set(bytes.subarray(0, i), filled)
      filled += i
      if (filled < 64) return
      compress(state, block, 0)
      filled = 0
    }
    for (; i + 64 <= bytes.length; i += 64) compress(state, bytes, i)
    block.set(bytes.subarray(i), 0)
    filled = bytes.length - i
  }
  return {
    update,
    digest: () => {
      const bits = new DataView(new ArrayBuffer(8))
      bits.setBigUint64(0, BigInt(length) * 8n, littleEndian)
      const padding = new Uint8Array(filled < 56 ? 56 - filled : 120 - filled)
      padding[0] = 0x80
      update(padding)
      update(new Uint8Array(bits.buffer))
      const digest = new DataView(new ArrayBuffer(state.length * 4))
      state.forEach((word, i) => digest.setInt32(i * 4, word, littleEndian))
      return new Uint8Array(digest.buffer)
    }
  }
}

const bigEndian = (words: ReadonlyArray<number>): Uint8Array => {
  const view = new DataView(new ArrayBuffer(words.length * 4))
  words.forEach((word, i) => view.setInt32(i * 4, word))
  return new Uint8Array(view.buffer)
}

/** First 32 bits of the fractions of the cube roots of the first 64 primes. */
const sha256Constants = Int32Array.from([
  0x428a2f98,
  0x71374491,
  0xb5c0fbcf,
  0xe9b5dba5,
  0x3956c25b,
  0x59f111f1,
  0x923f82a4,
  0xab1c5ed5,
  0xd807aa98,
  0x12835b01,
  0x243185be,
  0x550c7dc3,
  0x72be5d74,
  0x80deb1fe,
  0x9bdc06a7,
  0xc19bf174,
  0xe49b69c1,
  0xefbe4786,
  0x0fc19dc6,
  0x240ca1cc,
  0x2de92c6f,
  0x4a7484aa,
  0x5cb0a9dc,
  0x76f988da,
  0x983e5152,
  0xa831c66d,
  0xb00327c8,
  0xbf597fc7,
  0xc6e00bf3,
  0xd5a79147,
  0x06ca6351,
  0x14292967,
  0x27b70a85,
  0x2e1b2138,
  0x4d2c6dfc,
  0x53380d13,
  0x650a7354,
  0x766a0abb,
  0x81c2c92e,
  0x92722c85,
  0xa2bfe8a1,
  0xa81a664b,
  0xc24b8b70,
  0xc76c51a3,
  0xd192e819,
  0xd6990624,
  0xf40e3585,
  0x106aa070,
  0x19a4c116,
  0x1e376c08,
  0x2748774c,
  0x34b0bcb5,
  0x391c0cb3,
  0x4ed8aa4a,
  0x5b9cca4f,
  0x682e6ff3,
  0x748f82ee,
  0x78a5636f,
  0x84c87814,
  0x8cc70208,
  0x90befffa,
  0xa4506ceb,
  0xbef9a3f7,
  0xc67178f2
])

const schedule = new Int32Array(64)

/** Source: FIPS 180-4. */
const sha256: BlockHash = {
  littleEndian: false,
  initial: [
    0x6a09e667,
    0xbb67ae85,
    0x3c6ef372,
    0xa54ff53a,
    0x510e527f,
    0x9b05688c,
    0x1f83d9ab,
    0x5be0cd19
  ],
  compress: (state, bytes, offset) => {
    const w = schedule
    for (let t = 0; t < 16; t++) {
      const i = offset + 4 * t
      w[t] = (bytes[i]! << 24) | (bytes[i + 1]! << 16) | (bytes[i + 2]! << 8) | bytes[i + 3]!
    }
    for (let t = 16; t < 64; t++) {
      const x = w[t - 15]!
      const y = w[t - 2]!
      w[t] = (w[t - 16]! + w[t - 7]! + (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3))
        + (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))) | 0
    }
    let a = state[0]!
    let b = state[1]!
    let c = state[2]!
    let d = state[3]!
    let e = state[4]!
    let f = state[5]!
    let g = state[6]!
    let h = state[7]!
    for (let t = 0; t < 64; t++) {
      const one = (h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7)))
        + ((e & f) ^ (~e & g)) + sha256Constants[t]! + w[t]!) | 0
      const two = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10)))
        + ((a & b) ^ (a & c) ^ (b & c))) | 0
      h = g
      g = f
      f = e
      e = (d + one) | 0
      d = c
      c = b
      b = a
      a = (one + two) | 0
    }
    state[0] = (state[0]! + a) | 0
    state[1] = (state[1]! + b) | 0
    state[2] = (state[2]! + c) | 0
    state[3] = (state[3]! + d) | 0
    state[4] = (state[4]! + e) | 0
    state[5] = (state[5]! + f) | 0
    state[6] = (state[6]! + g) | 0
    state[7] = (state[7]! + h) | 0
  }
}

const md5Constants = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) | 0)
const md5Shifts = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]

/** Source: RFC 1321. */
const md5: BlockHash = {
  littleEndian: true,
  initial: [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476],
  compress: (state, bytes, offset) => {
    const w = schedule
    for (let t = 0; t < 16; t++) {
      const i = offset + 4 * t
      w[t] = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    }
    let a = state[0]!
    let b = state[1]!
    let c = state[2]!
    let d = state[3]!
    for (let t = 0; t < 64; t++) {
      const round = t >> 4
      const mixed = round === 0
        ? (b & c) | (~b & d)
        : round === 1
        ? (d & b) | (~d & c)
        : round === 2
        ? b ^ c ^ d
        : c ^ (b | ~d)
      const word = round === 0 ? t : round === 1 ? (5 * t + 1) & 15 : round === 2 ? (3 * t + 5) & 15 : (7 * t) & 15
      const sum = (a + mixed + md5Constants[t]! + w[word]!) | 0
      const shift = md5Shifts[(round << 2) | (t & 3)]!
      a = d
      d = c
      c = b
      b = (b + ((sum << shift) | (sum >>> (32 - shift)))) | 0
    }
    state[0] = (state[0]! + a) | 0
    state[1] = (state[1]! + b) | 0
    state[2] = (state[2]! + c) | 0
    state[3] = (state[3]! + d) | 0
  }
}
