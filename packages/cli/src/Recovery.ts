/**
 * Training that outlives its server: one that comes back with the live model is waited for, and one that has lost the model
 * gets it back from the last checkpoint. Either is said.
 */
import { isUnanswered, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import type * as ServiceClient from "effect-tinker/ServiceClient"
import * as TinkerEvents from "effect-tinker/TinkerEvents"
import type * as TrainingClient from "effect-tinker/TrainingClient"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Runtime from "effect/Runtime"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Display from "./Display.js"
import * as Stopping from "./Stopping.js"

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
 * A training that goes on when the server has lost the live model.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  service: ServiceClient.Service,
  { create, ...start }: Start
): Effect.Effect<Recoverable, never, Display.Display> =>
  Effect.gen(function*() {
    const display = yield* Display.Display
    let training = start.training

    /** Gives the number of steps that are in the model. */
    const recover: Effect.Effect<number, TinkerError> = Effect.gen(function*() {
      const kept = yield* display.kept
      if (kept === undefined) {
        yield* display.note("The server has lost the live model, and there is no checkpoint yet: training begins anew.")
        training = yield* create
        return 0
      }
      yield* display.note(
        `The server has lost the live model: training goes on from the checkpoint of step ${kept.steps}, ${kept.path}`
      )
      training = yield* service.createTrainingClientFromStateWithOptimizer(kept.path)
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

/**
 * What is known of the server being away.
 *
 * @since 0.1.0
 * @category models
 */
export interface Outages {
  /** Says at the first Ctrl-C what is done before the program ends. */
  readonly stopping: Effect.Effect<void>
}

/**
 * Says, until the scope closes, when the server is away, for how long, and when it is back. Each line is written where it happens, so that
 * it comes before whatever the answer of the server leads to.
 *
 * @since 0.1.0
 * @category constructors
 */
export const watch: Effect.Effect<Outages, never, Display.Display | Scope.Scope> = Effect.gen(function*() {
  const display = yield* Display.Display
  const hub = yield* TinkerEvents.CurrentHub
  const clock = yield* Effect.clock
  const say = Runtime.runSync(yield* Effect.runtime<never>())
  let outage: Outage | undefined
  let isStopping = false
  const isOut = Effect.unsafeMakeLatch(false)

  const begin = (isReached: boolean) => {
    outage = { began: clock.unsafeCurrentTimeMillis(), isReached }
    isOut.unsafeOpen()
    const what = isReached ? "takes nothing new" : "cannot be reached"
    const ends = isStopping ? "Ctrl-C again ends that at once" : "Ctrl-C twice ends that"
    say(Effect.zipRight(
      display.note(`The server ${what}: waiting for it. ${ends}, and says how to go on.`),
      display.waiting(0)
    ))
  }
  const stop = hub.listen((event) => {
    if (event._tag === "RetryScheduled" && event.policy !== "telemetry") {
      if (isAway(event.error)) {
        if (outage === undefined) begin(false)
        outage!.isReached = false
      } else if (outage === undefined && isRefusing(event.error)) {
        begin(true)
      }
    }
    if (event._tag === "RequestStopped" && outage !== undefined && isBack(event, outage)) {
      outage = undefined
      isOut.unsafeClose()
      say(display.note("The server is back."))
    }
  })
  yield* Effect.addFinalizer(() => Effect.sync(stop))
  const tick = Effect.sync(() => {
    if (outage !== undefined) say(display.waiting(clock.unsafeCurrentTimeMillis() - outage.began))
  })
  yield* isOut.await.pipe(
    Effect.zipRight(Effect.sleep("1 second")),
    Effect.zipRight(tick),
    Effect.forever,
    Effect.forkScoped
  )

  return {
    stopping: Effect.suspend(() => {
      isStopping = true
      return display.note(
        outage === undefined
          ? Stopping.announcement("what is under way is finished and saved first")
          : "Stopping: the server is waited for, to finish and save what is under way. Ctrl-C again stops at once, with what is kept."
      )
    })
  }
})

/** A time in which the server is away. */
interface Outage {
  /** When it began, in milliseconds of the clock. */
  readonly began: number
  /** Whether it answers, and takes nothing new: then results, which it still gives, are no sign that this is over. */
  isReached: boolean
}

const statusesOfProxies: ReadonlySet<number | undefined> = new Set([502, 503, 504])

const isAway = (error: TinkerError): boolean =>
  isUnanswered(error)
  || (error._tag === "ApiStatusError" && statusesOfProxies.has(error.status) && !isRefusing(error))

const isRefusing = (error: TinkerError): boolean =>
  error._tag === "ApiStatusError" && error.status === 503 && error.isForeign !== true

/** An answer to what was sent before the server was away says nothing. */
const isBack = ({ at, path, result, retries, status }: TinkerEvents.RequestStopped, outage: Outage): boolean =>
  status !== undefined && !statusesOfProxies.has(status) && (retries > 0 || at >= outage.began)
  && (!outage.isReached || (result === "ok" && beginsSomething.test(path)))

const beginsSomething =
  /\/(create_session|create_model|create_sampling_session|forward|forward_backward|optim_step|save_weights\w*|load_weights|asample)$/

/** The server knows that it had the model, or its request, and does not have it any more. */
const isLost = (error: unknown): error is TinkerError =>
  Predicate.isTagged(error, "ApiStatusError") && Predicate.hasProperty(error, "reason") && error.reason === "Expired"
