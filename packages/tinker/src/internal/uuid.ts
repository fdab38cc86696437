import * as Effect from "effect/Effect"
import { globalValue } from "effect/GlobalValue"
import * as Random from "effect/Random"
import * as LiveServices from "./effect/liveServices.js"

const word = Random.nextIntBetween(0, 2 ** 32)

/** A random (version 4) UUID from Effect's `Random`, so that tests can fix it. */
export const uuid: Effect.Effect<string> = Effect.map(Effect.all([word, word, word, word]), (words) => {
  const hex = words.map((word) => word.toString(16).padStart(8, "0")).join("")
  const variant = (8 + (parseInt(hex[16]!, 16) & 3)).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
})

/**
 * One for all clients of the process. Not from the `Random` in force: a program that fixes that one's seed runs in many
 * processes, which must differ.
 */
export const processUuid: Effect.Effect<string> = Effect.suspend(() => {
  const { drawn } = ofProcess
  return drawn === undefined
    ? Effect.map(
      Effect.withRandom(uuid, LiveServices.random),
      (id) => ofProcess.drawn ??= id
    )
    : Effect.succeed(drawn)
})

const ofProcess = globalValue(
  Symbol.for("effect-tinker/processUuid"),
  (): { drawn: string | undefined } => ({ drawn: undefined })
)
