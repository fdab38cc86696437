/** Options that this kind of server passes over: whoever chooses one of them is told, once. */
import * as Effect from "effect/Effect"
import * as TinkerConfig from "../../TinkerConfig.js"

/** What the options of a call are of. */
type Kind = keyof TinkerConfig.ServerProfile["ignoredOptions"]

export type Tell = (operation: string, kind: Kind, options: object) => Effect.Effect<void>

/** What tells for one client. */
export const make: Effect.Effect<Tell, never, TinkerConfig.TinkerConfig> = Effect.map(
  TinkerConfig.TinkerConfig,
  ({ serverProfile }) => {
    const { ignoredOptions }: TinkerConfig.ServerProfile = serverProfile
    const told = new Set<string>()
    return (operation, kind, options) => {
      const counting = ignoredOptions[kind]
      return counting === undefined ? Effect.void : Effect.suspend(() => {
        const chosen = Object.keys(counting).filter((name) => {
          const given: unknown = Reflect.get(options, name)
          return given !== undefined && given !== null && given !== counting[name] && !told.has(`${kind}.${name}`)
        })
        if (chosen.length === 0) return Effect.void
        for (const name of chosen) told.add(`${kind}.${name}`)
        const whose = kind === "samplingParams" ? " of samplingParams" : ""
        return Effect.logWarning(`${operation}: this kind of server passes over ${chosen.join(", ")}${whose}`)
      })
    }
  }
)
