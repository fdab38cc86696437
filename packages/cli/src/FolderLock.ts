/**
 * Keeps a folder for one process at a time.
 *
 * Of the files `.lock/<n>/owner` the one with the highest number says who has the folder, with its {@link ProcessMark};
 * when it is empty, or that process runs no more, nobody has. To take the folder is to make the directory of the next
 * number, which exactly one can. The highest is never removed, so that no number has two owners: whoever finds a higher
 * one beside what he has just made was too late, and looks again.
 *
 * This is for processes that see each other: on one machine, in one container.
 */
import * as PlatformError from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Folders from "./Folders.js"
import * as PlatformErrors from "./internal/effect/platformErrors.js"
import * as ProcessMark from "./ProcessMark.js"
import { UsageError } from "./UsageError.js"

/**
 * Takes the folder, which is made if need be, until the scope closes. Fails, with nothing changed, while another process
 * has it; one that was killed has it no more.
 *
 * @since 0.1.0
 * @category constructors
 */
export const acquire = (
  folder: string
): Effect.Effect<void, UsageError, FileSystem.FileSystem | Path.Path | Scope.Scope> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const locks = path.join(folder, ".lock")
    const place = (number: number) => path.join(locks, String(number))
    const ownerOf = (directory: string) => path.join(directory, "owner")

    const numbers = Effect.map(fs.readDirectory(locks), (names) =>
      names.filter((name) => isNumber.test(name)).map(Number))

    const holderOf = (number: number) =>
      Effect.gen(function*() {
        // One that is gone was that of a number which is not the highest any more.
        const text = yield* orElse(fs.readFileString(ownerOf(place(number))), "")
        const mark = decode(text)
        return Option.isSome(mark) && (yield* ProcessMark.isRunning(mark.value)) ? mark : Option.none()
      })

    /** Whole from the moment it is there: a directory with something in it is never replaced. False when another was first. */
    const create = (number: number) =>
      Effect.gen(function*() {
        const whole = path.join(locks, `new-${process.pid}-${(yield* Random.nextInt).toString(36)}`)
        yield* fs.makeDirectory(whole)
        const mark = yield* ProcessMark.own
        const made = Effect.as(
          Effect.zipRight(fs.writeFileString(ownerOf(whole), encode(mark)), fs.rename(whole, place(number))),
          true
        )
        // What it was written to is removed by one that has taken the folder meanwhile.
        return yield* orElse(made, false).pipe(
          Effect.catchAll((error) =>
            Effect.filterOrFail(
              Effect.map(numbers, (all) =>
                all.every((other) => other < number)),
              (isFree) => !isFree,
              () => error
            )
          ),
          Effect.ensuring(Effect.ignore(fs.remove(whole, { recursive: true, force: true })))
        )
      })

    const look = Effect.gen(function*() {
      yield* Folders.make(locks)
      const highest = Math.max(0, ...yield* numbers)
      const holder = highest === 0 ? Option.none() : yield* holderOf(highest)
      if (Option.isSome(holder)) return yield* inUse(folder, holder.value.pid)
      const number = highest + 1
      if (!(yield* create(number))) return undefined
      if ((yield* numbers).every((other) => other <= number)) return number
      // Whoever has the folder may do the same.
      yield* Effect.ignore(fs.remove(place(number), { recursive: true, force: true }))
      return undefined
    })
    const take = Effect.repeat(look, { until: (number): number is number => number !== undefined })

    const removeOthers = (own: number) =>
      Effect.flatMap(fs.readDirectory(locks), (names) =>
        Effect.forEach(
          names.filter((name) => name !== String(own)),
          (name) => fs.remove(path.join(locks, name), { recursive: true, force: true }),
          { discard: true }
        )).pipe(Effect.ignoreLogged)

    yield* Effect.acquireRelease(
      // Before it can be released: others may not find what they make removed by one that has no right to it any more.
      Effect.tap(take, removeOthers),
      (number) => Effect.ignoreLogged(fs.truncate(ownerOf(place(number)), 0))
    )
  }).pipe(
    Effect.mapError((cause) =>
      cause._tag === "UsageError" ? cause : new UsageError({
        description: `the folder ${folder} cannot be used: ${
          Folders.why(cause)
        }. Mend that, or give another with --data.`,
        cause
      })
    )
  )

/** Something else where a file is not there. */
const orElse = <A, B, R>(effect: Effect.Effect<A, PlatformError.PlatformError, R>, other: B) =>
  Effect.catchIf(
    effect,
    (error) => PlatformErrors.kindOf(error) === "NotFound",
    () => Effect.succeed(other)
  )

const isNumber = /^\d+$/

const Content = Schema.parseJson(ProcessMark.ProcessMark)

const encode = Schema.encodeSync(Content)

const decode = Schema.decodeOption(Content)

const inUse = (folder: string, pid: number) =>
  new UsageError({
    description: `the folder ${folder} is in use by process ${pid}, another server. `
      + "Stop that one, or give another folder with --data."
  })
