import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import * as TinkerHttpClient from "../TinkerHttpClient.js"

/** The tracer of programs that have none of their own; nobody sees its spans, and making them costs. */
const unobserved = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** One public call: its span, and the name under which the server hears of it. */
export const operation = (name: string, attributes?: Record<string, unknown>) => {
  const call = { name }
  const inSpan = span(name, attributes)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.contextWithEffect((context: Context.Context<R>) =>
      inSpan(
        Context.get(context, TinkerHttpClient.PublicCall).name === undefined
          ? Effect.provideService(effect, TinkerHttpClient.PublicCall, call)
          : effect
      )
    )
}

/** The span alone, if somebody sees it. */
export const span =
  (name: string, attributes?: Record<string, unknown>) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.withFiberRuntime((fiber) => {
      const tracer = Context.get(fiber.getFiberRef(DefaultServices.currentServices), Tracer.Tracer)
      return tracer === unobserved ? effect : Effect.withSpan(effect, name, { attributes, captureStackTrace: false })
    })
