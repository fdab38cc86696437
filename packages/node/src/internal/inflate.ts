/** Transformations of Node that are missing there. */
import { Transform, type TransformCallback } from "node:stream"
import { createInflate, createInflateRaw, type Inflate, type InflateRaw } from "node:zlib"

/** Unpacks deflate with its wrapper, which begins with a byte whose low half is 8, or without, as some servers send it. */
export class AnyInflate extends Transform {
  private inner: Inflate | InflateRaw | undefined

  override _transform(part: Uint8Array, _: BufferEncoding, done: TransformCallback): void {
    this.inner ??= this.open(((part[0] ?? 0) & 0x0f) === 8 ? createInflate() : createInflateRaw())
    this.inner.write(part, () => done())
  }

  override _flush(done: TransformCallback): void {
    if (this.inner === undefined) return done()
    this.inner.once("end", () => done())
    this.inner.end()
  }

  private open<Inner extends Inflate | InflateRaw>(inner: Inner): Inner {
    inner.on("data", (part: Uint8Array) => this.push(part))
    inner.on("error", (error) => this.destroy(error))
    return inner
  }
}

/** Unpacks zstd where Node has none. */
export class ZstdInflate extends Transform {
  private inner: import("fzstd").Decompress | undefined
  private resumed: (() => void) | undefined

  override _transform(part: Uint8Array, _: BufferEncoding, done: TransformCallback): void {
    this.with(done, (inner) => this.inflate(inner, part, 0, done))
  }

  override _flush(done: TransformCallback): void {
    this.with(done, (inner) => {
      inner.push(new Uint8Array(0), true)
      done()
    })
  }

  override _read(size: number): void {
    const { resumed } = this
    this.resumed = undefined
    if (resumed === undefined) super._read(size)
    else resumed()
  }

  /** A few bytes may become a hundred thousand, so what they become is read before the next are unpacked. */
  private inflate(inner: import("fzstd").Decompress, part: Uint8Array, from: number, done: TransformCallback): void {
    let at = from
    while (at < part.length) {
      inner.push(part.subarray(at, at += sliceBytes))
      if (at < part.length && this.readableLength > this.readableHighWaterMark) {
        this.resumed = () => this.attempt(done, () => this.inflate(inner, part, at, done))
        return
      }
    }
    done()
  }

  private with(done: TransformCallback, use: (inner: import("fzstd").Decompress) => void): void {
    if (this.inner !== undefined) {
      const { inner } = this
      return this.attempt(done, () => use(inner))
    }
    import("fzstd").then(
      ({ Decompress }) => this.attempt(done, () => use(this.inner = new Decompress((part) => this.push(part)))),
      (cause: unknown) => done(cause instanceof Error ? cause : new Error(String(cause)))
    )
  }

  private attempt(done: TransformCallback, use: () => void): void {
    try {
      use()
    } catch (cause) {
      done(cause instanceof Error ? cause : new Error(String(cause)))
    }
  }
}

const sliceBytes = 256
