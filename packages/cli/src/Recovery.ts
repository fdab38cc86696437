/**
 * Training that outlives its server: one that comes back with the live model is waited for, and one that has lost the model
 * gets it back from the last checkpoint. Either is said.
 */
import type { TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as ServiceClient from "effect-tinker/ServiceClient"
import * as TinkerEvents from "effect-tinker/TinkerEvents"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
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

/** Says, until the scope closes, when the server cannot be reached, for how long, and when it is back with the live model. */
const watch = (display: Display.Service): Effect.Effect<Outages, never, Scope.Scope> =>
  Effect.gen(function*() {
    const hub = yield* TinkerEvents.CurrentHub
    const changes = yield* Queue.unbounded<Outage | "back">()
    let modelId: string | undefined
    let outage: Outage | undefined
    const end = () => {
      if (outage !== undefined) Deferred.unsafeDone(outage.over, Effect.void)
      outage = undefined
    }
    // Where it happens, not later: what is heard of the next model must not be taken for this one's.
    const stop = hub.listen((event) => {
      // Requests of a model that is lost may be asked for a while longer.
      if (
        outage === undefined && event._tag === "FutureFailed" && isBroken(event)
        && event.requestId.startsWith(`${modelId}:`)
      ) {
        outage = { over: Deferred.unsafeMake<void>(FiberId.none) }
        Queue.unsafeOffer(changes, outage)
      }
      if (event._tag === "RequestStopped" && outage !== undefined && isTraining(event)) {
        end()
        Queue.unsafeOffer(changes, "back")
      }
    })
    yield* Effect.addFinalizer(() => Effect.sync(stop))

    const wait = ({ over }: Outage) =>
      Effect.flatMap(Clock.currentTimeMillis, (began) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) =>
          display.waiting(now - began)).pipe(
            Effect.repeat(Schedule.spaced("1 second")),
            Effect.raceFirst(Deferred.await(over))
          ))
    yield* Queue.take(changes).pipe(
      Effect.flatMap((change) =>
        change === "back"
          ? display.note("The server is back, with the live model: training goes on where it was.")
          : Effect.zipRight(
            display.note(
              "The server cannot be reached: waiting for it. Ctrl-C twice ends that, and says how to go on."
            ),
            Effect.when(wait(change), () =>
              outage === change)
          )
      ),
      Effect.forever,
      Effect.forkScoped
    )
    return {
      of: (training) => {
        modelId = training?.modelId
        end()
      }
    }
  })

/** One time that the server cannot be reached. */
interface Outage {
  readonly over: Deferred.Deferred<void>
}

const isBroken = ({ isRetried, kind }: TinkerEvents.FutureFailed): boolean => isRetried && kind === "connection_error"

/** The model is there: results are, also of one that is not. */
const isTraining = ({ path, result }: TinkerEvents.RequestStopped): boolean =>
  result === "ok" && /\/(forward|forward_backward|optim_step|save_weights(_for_sampler)?)$/.test(path)

/** The server knows that it had the model, or its request, and does not have it any more. */
const isLost = (error: unknown): error is TinkerError =>
  Predicate.isTagged(error, "ApiStatusError") && Predicate.hasProperty(error, "reason") && error.reason === "Expired"
