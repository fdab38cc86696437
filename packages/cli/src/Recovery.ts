/**
 * Training that outlives its server: one that comes back with the live model is waited for, and one that has lost the model
 * gets it back from the last checkpoint. Either is said.
 */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as ServiceClient from "effect-tinker/ServiceClient"
import * as TinkerEvents from "effect-tinker/TinkerEvents"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Display from "./Display.js"

/**
 * A model, whichever client it has now.
 *
 * @since 0.1.0
 * @category models
 */
export interface Recoverable {
  /** Does something with the model, and again with the one in its place if it is lost meanwhile. */
  readonly use: <A, E, R>(
    f: (training: TrainingClient.Service) => Effect.Effect<A, E | TinkerError, R>
  ) => Effect.Effect<A, E | TinkerError, R>
  /** Steps from a number on, and again from that of the last checkpoint if the model is lost meanwhile. */
  readonly steps: <A, E, R>(
    f: (training: TrainingClient.Service, from: number) => Stream.Stream<A, E | TinkerError, R>
  ) => Stream.Stream<A, E | TinkerError, R>
}

/**
 * A model, the number of steps that are in it, and how to make it again when it is lost and there is no checkpoint.
 *
 * @since 0.1.0
 * @category models
 */
export interface Start {
  readonly training: TrainingClient.Service
  readonly steps: number
  readonly create: Effect.Effect<TrainingClient.Service, TinkerError>
}

/**
 * A training that goes on when the server has lost the live model. Outages of the server are said until the scope closes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  service: ServiceClient.Service,
  { create, ...start }: Start
): Effect.Effect<Recoverable, never, Display.Display | Scope.Scope> =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    const outages = yield* watch(display)
    let training = start.training
    outages.of(training)

    /** Gives the number of steps that are in the model. */
    const recover: Effect.Effect<number, TinkerError> = Effect.gen(function*() {
      outages.of(undefined)
      const kept = yield* display.kept
      if (kept === undefined) {
        yield* display.note("The server has lost the live model, and there is no checkpoint yet: training begins anew.")
        training = yield* create
        outages.of(training)
        return 0
      }
      yield* display.note(
        `The server has lost the live model: training goes on from the checkpoint of step ${kept.steps}, ${kept.path}`
      )
      training = yield* service.createTrainingClientFromStateWithOptimizer(kept.path)
      outages.of(training)
      return kept.steps
    })

    const use: Recoverable["use"] = (f) =>
      Effect.suspend(() => f(training)).pipe(
        Effect.catchIf(isLost, () => Effect.zipRight(recover, use(f)))
      )
    const stepsFrom = <A, E, R>(
      f: (training: TrainingClient.Service, from: number) => Stream.Stream<A, E | TinkerError, R>,
      from: number
    ): Stream.Stream<A, E | TinkerError, R> =>
      Stream.suspend(() => f(training, from)).pipe(
        Stream.catchSome((error) =>
          isLost(error)
            ? Option.some(Stream.unwrap(Effect.map(recover, (from) => stepsFrom(f, from))))
            : Option.none()
        )
      )
    return { use, steps: (f) => stepsFrom(f, start.steps) }
  })

interface Outages {
  /** Called with the model that there is now, or when it is known to be lost. */
  readonly of: (training: TrainingClient.Service | undefined) => void
}

/** Says, until the scope closes, when the server cannot be reached, and when it is back with the live model. */
const watch = (display: Display.Service): Effect.Effect<Outages, never, Scope.Scope> =>
  Effect.gen(function*() {
    const hub = yield* TinkerEvents.CurrentHub
    const notes = yield* Queue.unbounded<string>()
    let modelId: string | undefined
    let isAway = false
    // Where it happens, not later: what is heard of the next model must not be taken for this one's.
    const stop = hub.listen((event) => {
      // Requests of a model that is lost may be asked for a while longer.
      if (!isAway && event._tag === "FutureFailed" && isBroken(event) && event.requestId.startsWith(`${modelId}:`)) {
        isAway = true
        Queue.unsafeOffer(
          notes,
          "The server cannot be reached: waiting for it. Ctrl-C twice ends that, and says how to go on."
        )
      }
      if (event._tag === "RequestStopped" && isAway && isTraining(event)) {
        isAway = false
        Queue.unsafeOffer(notes, "The server is back, with the live model: training goes on where it was.")
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    yield* Effect.forkScoped(Effect.forever(Effect.flatMap(Queue.take(notes), display.note)))
    return {
      of: (training) => {
        modelId = training?.modelId
        isAway = false
      }
    }
  })

const isBroken = ({ isRetried, kind }: TinkerEvents.FutureFailed): boolean => isRetried && kind === "connection_error"

/** The model is there: results are, also of one that is not. */
const isTraining = ({ path, result }: TinkerEvents.RequestStopped): boolean =>
  result === "ok" && /\/(forward|forward_backward|optim_step|save_weights(_for_sampler)?)$/.test(path)

/** The server knows that it had the model, or its request, and does not have it any more. */
const isLost = (error: unknown): error is TinkerError =>
  Predicate.isTagged(error, "ApiStatusError") && Predicate.hasProperty(error, "reason") && error.reason === "Expired"
