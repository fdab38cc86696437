import { argumentIssues, type Fields } from "@effect-tinker/protocol/Checks"
import { invalidInput, type Issue, type TinkerError } from "@effect-tinker/protocol/TinkerError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TelemetryReporter from "../../TelemetryReporter.js"
import * as TinkerHttpClient from "../../TinkerHttpClient.js"
import * as WaitingPolicy from "../../WaitingPolicy.js"
import * as Fibers from "../effect/fibers.js"
import { heldToProgress } from "./heldToProgress.js"

type Wrapper = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/** How the calls of a client are made public ones. */
export interface Operations {
  /** The reporter of the client, unless it is off. */
  readonly telemetry: TelemetryReporter.Service | undefined
  /**
   * One public call: its span, the name under which the server hears of it, the deadline in force, and the report of its failure.
   */
  readonly operation: (
    name: string,
    attributes?: Record<string, unknown>
  ) => <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TinkerError, R>
  /** The report of its failure alone. */
  readonly reporting: (name: string) => Wrapper
  /** A method that runs with what its parameters allow; of anything else it makes a call that fails, with nothing done. */
  readonly checked: <Method extends (...given: never) => Effect.Effect<unknown, unknown, unknown>>(
    name: string,
    parameters: Fields,
    run: Method
  ) => Method
  /** The same of one that gives a stream. */
  readonly checkedStream: <Method extends (...given: never) => Stream.Stream<unknown, unknown, unknown>>(
    name: string,
    parameters: Fields,
    run: Method
  ) => Method
}

/** Reports go to the reporter of the client, if there is one. */
export const operations: Effect.Effect<Operations> = Effect.map(
  Effect.serviceOption(TelemetryReporter.TelemetryReporter),
  (found) => {
    const reporter = Option.getOrUndefined(Option.filter(found, ({ isOn }) => isOn))
    const reporting = (name: string): Wrapper =>
      reporter === undefined
        ? (effect) => effect
        : (effect) =>
          Effect.catchAllCause(effect, (cause) =>
            Effect.zipRight(reporter.reportFailure(name, cause), Effect.failCause(cause)))
    const operation: Operations["operation"] = (name, attributes) => {
      const call = { name }
      const inSpan = span(name, attributes)
      const reported = reporting(name)
      const unfinished = { operation: name, state: "not finished yet" }
      return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | TinkerError, R> =>
        Effect.contextWithEffect((context: Context.Context<R>): Effect.Effect<A, E | TinkerError, R> =>
          inSpan(
            Context.get(context, TinkerHttpClient.PublicCall).name === undefined
              ? Effect.provideService(
                reported(WaitingPolicy.bounded(heldToProgress(effect, unfinished), () => unfinished)),
                TinkerHttpClient.PublicCall,
                call
              )
              : effect
          )
        )
    }
    const refused = (name: string, issues: ReadonlyArray<Issue>) => operation(name)(invalidInput(name, issues))
    // What is given may be anything, and the types of methods are as they were before: nothing else can say so.
    type AnyMethod<A> = (...given: ReadonlyArray<unknown>) => A
    return {
      telemetry: reporter,
      reporting,
      operation,
      checked: <Method>(name: string, parameters: Fields, run: Method) => {
        const method = run as AnyMethod<Effect.Effect<unknown, unknown, unknown>>
        return ((...given) =>
          Effect.suspend(() => {
            const issues = argumentIssues(given, parameters)
            return issues.length === 0 ? method(...given) : refused(name, issues)
          })) as typeof method as Method
      },
      checkedStream: <Method>(name: string, parameters: Fields, run: Method) => {
        const method = run as AnyMethod<Stream.Stream<unknown, unknown, unknown>>
        return ((...given) =>
          Stream.suspend(() => {
            const issues = argumentIssues(given, parameters)
            return issues.length === 0 ? method(...given) : Stream.fromEffect(refused(name, issues))
          })) as typeof method as Method
      }
    }
  }
)

/** The span alone, if somebody sees it. */
export const span =
  (name: string, attributes?: Record<string, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Fibers.withRunning((fiber) =>
      Fibers.isTraced(fiber) ? Effect.withSpan(effect, name, { attributes, captureStackTrace: false }) : effect
    )

/** Adds to the span of the call, if there is one, what became known only during it. */
export const annotate = (attributes: Record<string, unknown>): Effect.Effect<void> =>
  Fibers.withRunning((fiber) => Fibers.isTraced(fiber) ? Effect.annotateCurrentSpan(attributes) : Effect.void)
