import { gzipSync } from "node:zlib"

export interface TarEntry {
  readonly name: string
  readonly bytes?: Uint8Array | undefined
  /** Default: a file. */
  readonly type?: string | undefined
  readonly linkName?: string | undefined
  /** Instead of the true one. */
  readonly size?: number | undefined
  readonly prefix?: string | undefined
}

const block = 512

export const entry = ({ bytes = new Uint8Array(0), linkName = "", name, prefix = "", size, type = "0" }: TarEntry) => {
  const header = Buffer.alloc(block)
  header.write(name, 0, 100)
  header.write("0000644\0", 100)
  header.write((size ?? bytes.length).toString(8).padStart(11, "0") + "\0", 124)
  header.write("        ", 148)
  header.write(type, 156)
  header.write(linkName, 157, 100)
  header.write("ustar\x0000", 257)
  header.write(prefix, 345, 155)
  header.write(header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0") + "\0 ", 148)
  return Buffer.concat([header, bytes, Buffer.alloc((block - bytes.length % block) % block)])
}

/** A header of the format pax for the entry after it. */
export const pax = (values: Record<string, string>, type = "x") => {
  const text = Object.entries(values).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`
    let length = Buffer.byteLength(rest)
    while (String(length).length + Buffer.byteLength(rest) !== length) {
      length = String(length).length + Buffer.byteLength(rest)
    }
    return length + rest
  }).join("")
  return entry({ name: "pax", type, bytes: Buffer.from(text) })
}

export const end = Buffer.alloc(2 * block)

export const tar = (entries: ReadonlyArray<TarEntry | Buffer>): Buffer =>
  Buffer.concat([...entries.map((one) => Buffer.isBuffer(one) ? one : entry(one)), end])

export const tarGz = (entries: ReadonlyArray<TarEntry | Buffer>): Buffer => gzipSync(tar(entries))
