/** Transformations of Node that are missing there. */
import { Transform, type TransformCallback } from "node:stream"
import { createInflate, createInflateRaw, type Inflate, type InflateRaw } from "node:zlib"

/** Deflate with its wrapper, which begins with a byte whose low half is 8, or without, as some servers send it. */
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

/** Zstd where Node has none. */
export class ZstdInflate extends Transform {
  private inner: import("fzstd").Decompress | undefined

  override _transform(part: Uint8Array, _: BufferEncoding, done: TransformCallback): void {
    this.with(done, (inner) => inner.push(part))
  }

  override _flush(done: TransformCallback): void {
    this.with(done, (inner) => inner.push(new Uint8Array(0), true))
  }

  private with(done: TransformCallback, use: (inner: import("fzstd").Decompress) => void): void {
    const run = (inner: import("fzstd").Decompress) => {
      try {
        use(inner)
      } catch (cause) {
        return done(cause instanceof Error ? cause : new Error(String(cause)))
      }
      done()
    }
    if (this.inner !== undefined) return run(this.inner)
    import("fzstd").then(
      ({ Decompress }) => run(this.inner = new Decompress((part) => this.push(part))),
      (cause: unknown) => done(cause instanceof Error ? cause : new Error(String(cause)))
    )
  }
}
