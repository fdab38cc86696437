/**
 * Keeps a folder for one process at a time.
 *
 * Of the files `.lock/<n>` the one with the highest number says who has the folder, with its {@link ProcessMark}; when it
 * is empty, or that process runs no more, nobody has. To take the folder is to make the file of the next number, which
 * exactly one can. The highest is never removed, so that no number has two owners: whoever finds a higher one beside
 * what he has just made was too late, and looks again.
 *
 * This is for processes that see each other: on one machine, in one container.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
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

    const numbers = Effect.map(fs.readDirectory(locks), (names) =>
      names.filter((name) => isNumber.test(name)).map(Number))

    const holderOf = (number: number) =>
      Effect.gen(function*() {
        const mark = decode(yield* fs.readFileString(place(number)))
        return Option.isSome(mark) && (yield* ProcessMark.isRunning(mark.value)) ? mark : Option.none()
      })

    /** Whole from the moment it is there. False when somebody else has made it. */
    const create = (number: number) =>
      Effect.gen(function*() {
        const whole = path.join(locks, `new-${process.pid}-${(yield* Random.nextInt).toString(36)}`)
        const mark = yield* ProcessMark.own
        return yield* fs.writeFileString(whole, encode(mark)).pipe(
          Effect.zipRight(fs.link(whole, place(number))),
          Effect.as(true),
          Effect.catchIf(
            // What it was written to is removed by one that has the folder.
            (error) =>
              error._tag === "SystemError" && (error.reason === "AlreadyExists" || error.reason === "NotFound"),
            () => Effect.succeed(false)
          ),
          Effect.ensuring(Effect.ignore(fs.remove(whole, { force: true })))
        )
      })

    const attempt = Effect.gen(function*() {
      yield* fs.makeDirectory(locks, { recursive: true })
      const highest = Math.max(0, ...yield* numbers)
      const holder = highest === 0 ? Option.none() : yield* holderOf(highest)
      if (Option.isSome(holder)) return yield* inUse(folder, holder.value.pid)
      const number = highest + 1
      if (!(yield* create(number))) return undefined
      if ((yield* numbers).every((other) => other <= number)) return number
      yield* fs.remove(place(number), { force: true })
      return undefined
    }).pipe(
      // Another process has taken it in between, and removed what was before.
      Effect.catchIf(
        (error) => error._tag === "SystemError" && error.reason === "NotFound",
        () => Effect.succeed(undefined)
      ),
      Effect.repeat({ until: (number): number is number => number !== undefined })
    )

    const removeOthers = (own: number) =>
      Effect.flatMap(fs.readDirectory(locks), (names) =>
        Effect.forEach(names, (name) =>
          name === String(own) ? Effect.void : fs.remove(path.join(locks, name), { force: true }), { discard: true }))

    const own = yield* Effect.acquireRelease(
      attempt,
      (number) =>
        Effect.ignoreLogged(fs.truncate(place(number), 0))
    )
    yield* Effect.ignoreLogged(removeOthers(own))
  }).pipe(
    Effect.mapError((cause) =>
      cause._tag === "UsageError" ? cause : new UsageError({
        description: `the folder ${folder} cannot be used: ${cause.message}. Mend that, or give another with --data.`,
        cause
      })
    )
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
