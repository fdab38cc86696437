/** How a server comes to its end: it takes nothing new, finishes what it has, and saves what was trained. */
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Http from "../http/http.js"
import type { RouteName } from "../http/routes.js"
import type * as State from "./serverState.js"

/** What begins something new. The rest is needed to learn what became of the old. */
const startingRoutes: ReadonlySet<string> = new Set<RouteName>([
  "createSession",
  "createModel",
  "createSamplingSession",
  "forwardBackward",
  "forward",
  "optimStep",
  "saveWeights",
  "saveWeightsForSampler",
  "saveWeightsExternal",
  "loadWeights",
  "copyWeights",
  "asample"
])

/** How long results wait for those who asked for them. */
const fetchTimeout = Duration.millis(500)

export interface Stopping {
  /** Refuses what begins something new once the server stops, in a way that lets clients try again. */
  readonly refusalOf: (route: RouteName) => Http.Refusal | undefined
  readonly stop: Effect.Effect<void>
}

export const make = (
  state: State.ServerState,
  options: { readonly gracePeriod: Duration.DurationInput; readonly save: boolean }
): Stopping => {
  let isStopping = false

  const isIdle = Effect.gen(function*() {
    for (const model of state.models.values()) if (yield* model.queue.isBusy) return false
    return state.sampling.size === 0
  })

  const until = (condition: Effect.Effect<boolean>) =>
    Effect.repeat(condition, { until: (holds) => holds, schedule: Schedule.spaced("20 millis") })

  /** Waits until the server is idle, and lets those who wait for a result have it, but not for long: their clients may have gone. */
  const idle = until(isIdle).pipe(
    Effect.zipRight(Effect.timeoutOption(until(state.futures.areFetched), fetchTimeout)),
    Effect.interruptible,
    Effect.timeoutOption(options.gracePeriod)
  )

  const save = Effect.gen(function*() {
    const name = `stopped-${new Date(yield* Clock.currentTimeMillis).toISOString().replaceAll(/[:.]/g, "-")}`
    for (const model of state.models.values()) {
      // One that is not loaded is as an earlier server has left it.
      if (model.unloaded || !model.isLoaded || model.session.status._tag !== "Active") continue
      const path: TinkerPath.TinkerPath = { trainingRunId: model.id as ModelId, checkpointType: "training", name }
      yield* Effect.matchCauseEffect(
        Effect.flatMap(
          state.engine.snapshot(model.id),
          (snapshot) =>
            snapshot.step === 0
              ? Effect.void
              : Effect.asVoid(state.store.save(path, snapshot, { owner: model.session.owner }))
        ),
        {
          onSuccess: () => Effect.void,
          onFailure: (cause) => Effect.logError(`${TinkerPath.format(path)} was not saved`, cause)
        }
      )
    }
  })

  return {
    refusalOf: (route) =>
      isStopping && (startingRoutes.has(route) || route === "healthz")
        ? Http.refuse(503, "the server is stopping: it finishes what it has, and takes nothing new", {
          "retry-after": "5"
        })
        : undefined,
    stop: Effect.suspend(() => {
      isStopping = true
      return idle.pipe(
        Effect.zipRight(options.save ? save : Effect.void),
        Effect.zipRight(Effect.sync(() => {
          state.hasEnded = true
        })),
        Effect.zipRight(state.futures.release)
      )
    })
  }
}
