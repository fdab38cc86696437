/**
 * Reports to the service what goes wrong in a client, in batches, beside the program: no call waits for it, and none fails by
 * it. What is reported holds no key, prompt, sample, header or body.
 */
import {
  argumentIssues,
  type Fields,
  flag,
  json,
  oneOf,
  optional,
  optionsOf,
  record,
  text
} from "@effect-tinker/protocol/Checks"
import type { SessionId } from "@effect-tinker/protocol/Identifiers"
import * as TelemetryMessages from "@effect-tinker/protocol/TelemetryMessages"
import { invalidInput, type InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Given from "./internal/given.js"
import * as EventQueue from "./internal/telemetry/eventQueue.js"
import * as Failure from "./internal/telemetry/reportedFailure.js"
import { uuid } from "./internal/uuid.js"
import type * as TelemetryApi from "./TelemetryApi.js"
import * as TinkerConfig from "./TinkerConfig.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class TelemetryReporter extends Context.Tag("effect-tinker/TelemetryReporter")<TelemetryReporter, Service>() {}

/**
 * Each returns at once, but for what is said to wait.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Whether anything is sent; the option `telemetry` says so. */
  readonly isOn: boolean

  /**
   * Reports an event of yours. The name is one of a few; what is in `data` is sent as it is. One that cannot be reported, as its data
   * are nothing for JSON, is left out with a warning.
   */
  readonly log: (name: string, options?: {
    readonly severity?: TelemetryMessages.Severity | undefined
    readonly data?: Readonly<Record<string, unknown>> | undefined
  }) => Effect.Effect<void>

  /** Reports an error of yours, with its message. One that was reported already is not reported again. */
  readonly logException: (error: unknown, options?: ExceptionOptions) => Effect.Effect<void>

  /** The same effect, whose failure is reported as by {@link Service.logException}. Interruptions are no failures. */
  readonly capture: <A, E, R>(effect: Effect.Effect<A, E, R>, options?: ExceptionOptions) => Effect.Effect<A, E, R>

  /** Sends what waits without waiting for more, and succeeds when all of it has been sent or given up. */
  readonly flush: Effect.Effect<void>

  /** The same for a call of this SDK: of errors that are not its own, only the type and the place are told. */
  readonly reportFailure: (operation: string, cause: Cause.Cause<unknown>) => Effect.Effect<void>

  /** Events from now on are of this session. */
  readonly sessionStarted: (sessionId: SessionId) => Effect.Effect<void>
}

/**
 * @since 0.1.0
 * @category models
 */
export interface ExceptionOptions {
  /** Default: that of the kind of error. */
  readonly severity?: TelemetryMessages.Severity | undefined
  /** Waits until the report is sent, for two seconds at most, as the program will end of it. Default false. */
  readonly fatal?: boolean | undefined
}

/**
 * What the events of a region of code carry in their data, under what they have themselves: events of yours, mistakes of the
 * caller, and what went wrong with results. Exceptions have no data.
 *
 * @internal
 */
export class CurrentMetadata extends Context.Reference<CurrentMetadata>()(
  "effect-tinker/TelemetryReporter/CurrentMetadata",
  { defaultValue: (): Readonly<Record<string, unknown>> => ({}) }
) {}

/**
 * Adds to what regions around this one say, e.g. `TelemetryReporter.withMetadata({ experiment: 7 })`. It is sent as it is.
 *
 * @since 0.1.0
 * @category combinators
 */
export const withMetadata: {
  (metadata: Readonly<Record<string, unknown>>): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(effect: Effect.Effect<A, E, R>, metadata: Readonly<Record<string, unknown>>): Effect.Effect<A, E, R>
} = dual(
  2,
  <A, E, R>(effect: Effect.Effect<A, E, R>, metadata: Readonly<Record<string, unknown>>): Effect.Effect<A, E, R> =>
    Given.around(
      "TelemetryReporter.withMetadata",
      [effect, metadata],
      { effect: Given.effect, metadata: record(Given.anything) },
      () =>
        Effect.flatMap(
          CurrentMetadata,
          (outer) => Effect.provideService(effect, CurrentMetadata, { ...outer, ...metadata })
        )
    )
)

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<
  Service,
  never,
  TelemetryApi.TelemetryApi | TinkerConfig.TinkerConfig | Scope.Scope
> = Effect.gen(function*() {
  const { telemetry } = yield* TinkerConfig.TinkerConfig
  if (!telemetry) return off
  let origin: EventQueue.Origin = { sessionId: `sessionless-${yield* uuid}`, startedAt: undefined, next: 0 }
  const queue = yield* EventQueue.make
  const reported = new WeakSet<object>()
  let isClosed = false

  const add = (event: EventQueue.EventContent): Effect.Effect<void> =>
    Effect.flatMap(CurrentMetadata, (metadata) => {
      if (isClosed) return Effect.void
      const content = event.event === "GENERIC_EVENT"
        ? { ...event, eventData: { ...metadata, ...event.eventData } }
        : event
      const issues = content.event === "GENERIC_EVENT" ? json(content.eventData, "data") : []
      return issues.length > 0
        ? notReported(invalidInput("TelemetryReporter.log", issues))
        : queue.add(origin, content)
    })

  yield* Effect.addFinalizer(() =>
    Effect.gen(function*() {
      const { startedAt } = origin
      if (startedAt !== undefined) {
        const now = yield* Clock.currentTimeMillis
        yield* add({ event: "SESSION_END", severity: "INFO", duration: pythonDuration(now - startedAt) })
      }
      isClosed = true
      yield* queue.close
    })
  )

  const once = (error: unknown, report: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.suspend(() => {
      if (typeof error !== "object" || error === null) return report
      if (reported.has(error)) return Effect.void
      reported.add(error)
      return report
    })

  const logged = (error: unknown, { fatal = false, severity }: ExceptionOptions = {}) =>
    Effect.zipRight(
      once(error, Effect.suspend(() => add(Failure.eventOf(error, { severity, tellsMessage: true })))),
      fatal ? Effect.ignore(Effect.timeout(Effect.interruptible(queue.flush), EventQueue.flushDeadline)) : Effect.void
    )

  return TelemetryReporter.of({
    isOn: true,
    log: (eventName, options) =>
      reportable("TelemetryReporter.log", [eventName, options], { name: text, options: eventOptions }, () => {
        const { data = {}, severity = "INFO" } = options ?? {}
        return add({ event: "GENERIC_EVENT", severity, eventName, eventData: data })
      }),
    logException: (error, options) =>
      reportable(
        "TelemetryReporter.logException",
        [options],
        { options: exceptionOptions },
        () => logged(error, options)
      ),
    capture: (effect, options) =>
      captured(effect, options, () =>
        Effect.tapErrorCause(effect, (cause) => {
          const failure = Failure.errorIn(cause)
          return failure === undefined ? Effect.void : logged(failure.error, options)
        })),
    flush: queue.flush,
    reportFailure: (operation, cause) =>
      Effect.suspend(() => {
        const failure = Failure.errorIn(cause)
        if (failure === undefined || Failure.isOwnClose(failure.error)) return Effect.void
        return once(
          failure.error,
          Effect.suspend(() => add(Failure.eventOf(failure.error, { operation, tellsMessage: false })))
        )
      }),
    sessionStarted: (sessionId) =>
      Effect.clockWith((clock) => {
        origin = { sessionId, startedAt: clock.unsafeCurrentTimeMillis(), next: 0 }
        return add({ event: "SESSION_START", severity: "INFO" })
      })
  })
})

const severity = oneOf(...TelemetryMessages.Severity.literals)

const exceptionOptions = optional(optionsOf({ severity: optional(severity), fatal: optional(flag) }))

const eventOptions = optional(optionsOf({ severity: optional(severity), data: optional(record(Given.anything)) }))

const captured = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: ExceptionOptions | undefined,
  run: () => Effect.Effect<A, E, R>
) =>
  Given.around("TelemetryReporter.capture", [effect, options], { effect: Given.effect, options: exceptionOptions }, run)

/** No program fails by what it wants to report; and one event that cannot be sent would take its whole batch with it. */
const reportable = (
  operation: string,
  given: ReadonlyArray<unknown>,
  parameters: Fields,
  report: () => Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    const issues = argumentIssues(given, parameters)
    return issues.length === 0
      ? report()
      : notReported(invalidInput(operation, issues))
  })

const notReported = ({ message }: InvalidInputError) => Effect.logWarning(`this is not reported: ${message}`)

/** Reports nothing. */
const off: Service = TelemetryReporter.of({
  isOn: false,
  log: () => Effect.void,
  logException: () => Effect.void,
  capture: (effect, options) => captured(effect, options, () => effect),
  flush: Effect.void,
  reportFailure: () => Effect.void,
  sessionStarted: () => Effect.void
})

/**
 * Closing sends what waits, for two seconds at most.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<TelemetryReporter, never, TelemetryApi.TelemetryApi | TinkerConfig.TinkerConfig> = Layer
  .scoped(TelemetryReporter, make)

/** A time as Python writes a timedelta: `0:01:02.345000`, `1 day, 0:00:00`. */
const pythonDuration = (millis: number): string => {
  const whole = Math.round(millis)
  const seconds = Math.floor(whole / 1000)
  const days = Math.floor(seconds / 86_400)
  const two = (value: number) => String(value).padStart(2, "0")
  const time = `${Math.floor(seconds / 3600) % 24}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`
  const fraction = whole % 1000 === 0 ? "" : `.${String(whole % 1000).padStart(3, "0")}000`
  return `${days === 0 ? "" : `${days} day${days === 1 ? "" : "s"}, `}${time}${fraction}`
}
