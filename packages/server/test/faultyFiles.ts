import { Error as PlatformError, FileSystem } from "@effect/platform"
import { Effect, Layer } from "effect"

/**
 * What a failing write has done before it fails: nothing, as on a full disk; half of it; or all of it, as when the disk
 * fails to say so.
 */
export type Extent = "nothing" | "half" | "all"

/** From the `first` write on, so many in a row fail. */
export interface Trouble {
  readonly first: number
  readonly count: number
  readonly extent: Extent
}

export interface Faulty {
  /** How many writes there were. */
  readonly writes: () => number
  /** How many of them have failed. */
  readonly failures: () => number
  /** Nothing is written any more, as if the process were gone. */
  readonly die: () => void
}

const failure = (method: string) =>
  new PlatformError.SystemError({
    reason: "Unknown",
    module: "FileSystem",
    method,
    description: `ENOSPC: no space left on device, ${method} '/secret/place'`
  })

const halfOf = (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 1)

/** A file system whose writes, renames, removals and syncs fail by the plan; what is there already is opened all the same. */
export const make = (
  fs: FileSystem.FileSystem,
  trouble: Trouble | undefined
): { readonly fs: FileSystem.FileSystem; readonly faulty: Faulty } => {
  let writes = 0
  let failures = 0
  let isDead = false
  const write = <A, R = never>(
    method: string,
    whole: Effect.Effect<A, PlatformError.PlatformError, R>,
    half?: Effect.Effect<unknown, PlatformError.PlatformError>
  ): Effect.Effect<A, PlatformError.PlatformError, R> =>
    Effect.suspend(() => {
      if (isDead) return Effect.fail(failure(method))
      writes += 1
      if (trouble === undefined || writes < trouble.first || writes >= trouble.first + trouble.count) return whole
      failures += 1
      // What has no half, as a rename, is not done at all.
      const done = trouble.extent === "nothing" || half === undefined
        ? Effect.void
        : trouble.extent === "half"
        ? half
        : whole
      return Effect.zipRight(Effect.ignore(done as Effect.Effect<unknown, unknown, R>), Effect.fail(failure(method)))
    })
  const writable = (file: FileSystem.File): FileSystem.File =>
    new Proxy(file, {
      get: (target, name) => {
        switch (name) {
          case "writeAll":
            return (bytes: Uint8Array) => write("write", target.writeAll(bytes), target.writeAll(halfOf(bytes)))
          case "truncate":
            return (length: FileSystem.SizeInput) => write("ftruncate", target.truncate(length))
          case "sync":
            return write("fsync", target.sync)
          default: {
            const value: unknown = Reflect.get(target, name, target)
            return typeof value === "function" ? value.bind(target) : value
          }
        }
      }
    })
  return {
    fs: {
      ...fs,
      open: (path, options) =>
        options?.flag === undefined || options.flag === "r"
          ? fs.open(path, options)
          : Effect.flatMap(fs.exists(path), (exists) =>
            Effect.map(exists ? fs.open(path, options) : write("open", fs.open(path, options)), writable)),
      writeFile: (path, bytes, options) =>
        write("open", fs.writeFile(path, bytes, options), fs.writeFile(path, halfOf(bytes), options)),
      makeDirectory: (path, options) =>
        Effect.flatMap(
          fs.exists(path),
          (exists) => exists ? fs.makeDirectory(path, options) : write("mkdir", fs.makeDirectory(path, options))
        ),
      rename: (from, to) => write("rename", fs.rename(from, to)),
      remove: (path, options) => write("rm", fs.remove(path, options)),
      truncate: (path, length) => write("truncate", fs.truncate(path, length))
    },
    faulty: {
      writes: () => writes,
      failures: () => failures,
      die: () => {
        isDead = true
      }
    }
  }
}

/** The same in place of the file system that is there. */
export const layer = (trouble: Trouble | undefined, told: (faulty: Faulty) => void) =>
  Layer.effect(
    FileSystem.FileSystem,
    Effect.map(FileSystem.FileSystem, (fs) => {
      const made = make(fs, trouble)
      told(made.faulty)
      return made.fs
    })
  )
