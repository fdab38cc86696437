/**
 * Finds the checkpoints that a command is about: those that are named, or those that the options describe.
 */
import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as FileSystem from "@effect/platform/FileSystem"
import * as RestClient from "effect-tinker/RestClient"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as CheckpointPath from "./CheckpointPath.js"
import * as Connection from "./Connection.js"
import * as PlatformErrors from "./internal/effect/platformErrors.js"
import * as Output from "./Output.js"
import { UsageError } from "./UsageError.js"
import * as UserCheckpoints from "./UserCheckpoints.js"

/**
 * What was given. Times are in milliseconds since 1970, durations in milliseconds, sizes in bytes.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  readonly paths: ReadonlyArray<string>
  readonly fromFile: Option.Option<string>
  readonly runId: Option.Option<string>
  readonly all: boolean
  readonly type: Option.Option<TinkerPath.CheckpointType>
  readonly before: Option.Option<number>
  readonly after: Option.Option<number>
  readonly olderThan: Option.Option<number>
  readonly name: Option.Option<string>
  readonly minSize: Option.Option<number>
  readonly noTtl: boolean
  readonly public: boolean
  readonly private: boolean
  readonly keepLast: number
  readonly keep: ReadonlyArray<string>
}

/**
 * A checkpoint that was chosen; what the server tells of it is known of those that were described.
 *
 * @since 0.1.0
 * @category models
 */
export interface Chosen {
  readonly path: string
  readonly checkpoint: Checkpoint | undefined
}

/**
 * The checkpoints that were chosen, each once. `UsageError`, before anything is sent, where neither paths nor options choose any, where both
 * do, and for a path that is none.
 *
 * @since 0.1.0
 * @category utils
 */
export const find = (selection: Selection, verb: string) =>
  Effect.gen(function*() {
    const { fromFile } = selection
    const named = [
      ...selection.paths,
      ...(Option.isSome(fromFile) ? yield* readPaths(fromFile.value) : [])
    ]
    const isNamed = selection.paths.length > 0 || Option.isSome(fromFile)
    const isDescribed = selection.all || Option.isSome(selection.runId)
    const issue = issueOf(selection, { isNamed, isDescribed, verb })
    if (issue !== undefined) return yield* new UsageError({ description: issue })
    for (const path of [...named, ...selection.keep]) yield* CheckpointPath.parse(path)
    if (isNamed) return Array.from(new Set(named), (path): Chosen => ({ path, checkpoint: undefined }))
    const checkpoints = yield* Effect.provide(listed(selection.runId), Connection.layer)
    const now = yield* Clock.currentTimeMillis
    const paths = new Set(checkpoints.map(({ tinkerPath }) => tinkerPath))
    const unknown = selection.keep.find((path) => !paths.has(path))
    if (unknown !== undefined) {
      return yield* new UsageError({
        description:
          `--keep: there is no checkpoint ${unknown} among those that are meant, and nothing was changed. Check its name.`
      })
    }
    return fitting(selection, checkpoints, now).map((checkpoint): Chosen => ({
      path: checkpoint.tinkerPath,
      checkpoint
    }))
  })

const issueOf = (selection: Selection, { isDescribed, isNamed, verb }: {
  readonly isNamed: boolean
  readonly isDescribed: boolean
  readonly verb: string
}): string | undefined => {
  const filters = filtersOf(selection)
  if (isNamed && (isDescribed || filters.length > 0)) {
    const other = selection.all ? "--all" : Option.isSome(selection.runId) ? "--run-id" : filters[0]!
    return `checkpoints are named, and ${other} describes some. Give paths, or --run-id or --all with what describes them.`
  }
  if (!isNamed && !isDescribed) {
    return filters.length > 0
      ? `${
        filters[0]
      } narrows down which checkpoints are meant. Give --run-id ID for those of a run, or --all for those of all runs.`
      : `which checkpoints? Give their paths (tinker checkpoint ${verb} tinker://…), those of a run (--run-id ID), or all of an age (--all `
        + "--older-than 30d)."
  }
  if (selection.all && Option.isSome(selection.runId)) {
    return "--run-id and --all say different things. Give one of them."
  }
  if (selection.public && selection.private) return "--public and --private leave none. Give one of them."
  return undefined
}

/** The options that narrow down, as they were written. */
const filtersOf = (selection: Selection): ReadonlyArray<string> =>
  [
    ["--type", Option.isSome(selection.type)],
    ["--before", Option.isSome(selection.before)],
    ["--after", Option.isSome(selection.after)],
    ["--older-than", Option.isSome(selection.olderThan)],
    ["--name", Option.isSome(selection.name)],
    ["--min-size", Option.isSome(selection.minSize)],
    ["--no-ttl", selection.noTtl],
    ["--public", selection.public],
    ["--private", selection.private],
    ["--keep-last", selection.keepLast > 0],
    ["--keep", selection.keep.length > 0]
  ].flatMap(([name, isGiven]) => isGiven === true ? [String(name)] : [])

/**
 * Whether anything but their run says which checkpoints are meant; what fits all of them, as any name, does not.
 *
 * @since 0.1.0
 * @category guards
 */
export const isNarrowed = (selection: Selection): boolean =>
  filtersOf({
    ...selection,
    keep: [],
    name: Option.filter(selection.name, (glob) => !/^\**$/.test(glob)),
    olderThan: Option.filter(selection.olderThan, (age) => age > 0),
    minSize: Option.filter(selection.minSize, (size) => size > 0)
  }).length > 0

const listed = (runId: Option.Option<string>) =>
  Option.match(runId, {
    onSome: (id) =>
      Effect.flatMap(RestClient.RestClient, (rest) =>
        Effect.map(Connection.brief(rest.listCheckpoints(id)), ({ checkpoints }) => checkpoints)),
    onNone: () =>
      Effect.map(UserCheckpoints.list({ limit: 0, offset: 0 }), ({ entries }) => entries)
  })

/**
 * Leaves of a list those checkpoints that fit what was given, in its order. Bounds of time are strict.
 *
 * @since 0.1.0
 * @category utils
 */
export const fitting = (
  selection: Selection,
  checkpoints: ReadonlyArray<Checkpoint>,
  nowMillis: number
): ReadonlyArray<Checkpoint> => {
  const isName = Option.map(selection.name, matcher)
  const spared = newest(checkpoints, selection.keepLast)
  const made = ({ time }: Checkpoint) => DateTime.toEpochMillis(time)
  const holds = <A>(wanted: Option.Option<A>, test: (value: A) => boolean) =>
    Option.isNone(wanted) || test(wanted.value)
  return checkpoints.filter((checkpoint) =>
    holds(selection.type, (type) => checkpoint.checkpointType === type)
    && holds(selection.before, (time) => made(checkpoint) < time)
    && holds(selection.after, (time) => made(checkpoint) > time)
    && holds(selection.olderThan, (age) => nowMillis - made(checkpoint) > age)
    && holds(isName, (matches) => matches(nameOf(checkpoint)))
    && holds(selection.minSize, (size) => (checkpoint.sizeBytes ?? 0) >= size)
    && (!selection.noTtl || checkpoint.expiresAt === undefined)
    && (!selection.public || checkpoint.public)
    && (!selection.private || !checkpoint.public)
    && !spared.has(checkpoint.tinkerPath)
    && !selection.keep.includes(checkpoint.tinkerPath)
  )
}

/** The paths of the newest so many of each run and type. */
const newest = (checkpoints: ReadonlyArray<Checkpoint>, count: number): ReadonlySet<string> =>
  new Set(
    Object.values(Arr.groupBy(checkpoints, groupOf)).flatMap((group) =>
      group
        .toSorted((a, b) => DateTime.toEpochMillis(b.time) - DateTime.toEpochMillis(a.time))
        .slice(0, count)
        .map(({ tinkerPath }) => tinkerPath)
    )
  )

const runOf = (checkpoint: Checkpoint): string =>
  Either.match(TinkerPath.parse(checkpoint.tinkerPath), {
    onLeft: () => checkpoint.tinkerPath,
    onRight: ({ trainingRunId }) => trainingRunId
  })

const groupOf = (checkpoint: Checkpoint): string => `${checkpoint.checkpointType} ${runOf(checkpoint)}`

/** The name alone: ids have the kind before it. */
const nameOf = ({ checkpointId }: Checkpoint): string => checkpointId.slice(checkpointId.indexOf("/") + 1)

const matcher = (glob: string): (name: string) => boolean => {
  const pattern = new RegExp(
    `^${glob.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".")}$`,
    "su"
  )
  return (name) => pattern.test(name)
}

const readPaths = (
  file: string
): Effect.Effect<ReadonlyArray<string>, UsageError, FileSystem.FileSystem | Output.Output> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const output = yield* Output.Output
    const text = yield* Effect.mapError(
      file === "-" ? output.input : files.readFileString(file),
      (cause) =>
        new UsageError({
          description: `--from-file: ${file} cannot be read (${PlatformErrors.kindOf(cause)}).`,
          cause
        })
    )
    return text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "" && !line.startsWith("#"))
  })
