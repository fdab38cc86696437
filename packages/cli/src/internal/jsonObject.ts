/** Files that hold one JSON object. */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import { type CommandFailed, failed } from "../Failure.js"

export type JsonObject = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const read = (path: string): Effect.Effect<JsonObject, CommandFailed | PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const text = yield* files.readFileString(path)
    const value: unknown = yield* Effect.try({
      try: () => JSON.parse(text.replace(/^\ufeff/, "")),
      catch: () => failed(`${path} is not JSON.`)
    })
    return isObject(value) ? value : yield* failed(`${path} is not a JSON object.`)
  })
