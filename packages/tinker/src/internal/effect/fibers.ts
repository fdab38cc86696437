/**
 * What a running fiber knows: its clock, its tracer and span, its level of logging, and the services of its region. It is read of the fiber
 * at once, as an effect for each of them would cost more than what they are read for, in thousands of requests a second.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberRef from "effect/FiberRef"
import * as LogLevel from "effect/LogLevel"
import type * as Tracer from "effect/Tracer"
import * as LiveServices from "./liveServices.js"

/** A fiber that runs, whatever comes of it. */
export type Running = Fiber.RuntimeFiber<unknown, unknown>

/** Goes on with the fiber that is running. */
export const withRunning = <A, E = never, R = never>(
  next: (fiber: Running) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> => Effect.withFiberRuntime(next)

export const clockOf = (fiber: Running): Clock.Clock => Context.get(fiber.currentDefaultServices, Clock.Clock)

export const tracerOf = (fiber: Running): Tracer.Tracer => fiber.currentTracer

/** The span in which a fiber runs, if it is in one. */
export const spanOf = (fiber: Running): Tracer.AnySpan | undefined => fiber.currentSpan

/** Whether anybody sees spans: a program without a tracer of its own makes them for nobody, and making them costs. */
export const isTraced = (fiber: Running): boolean => fiber.currentTracer !== LiveServices.tracer

/** Whether spans are made in the region of a fiber, where a program may want none. */
export const isTracing = (fiber: Running): boolean => fiber.getFiberRef(FiberRef.currentTracerEnabled)

/** Whether lines of the level debug are logged. */
export const logsDebug = (fiber: Running): boolean =>
  LogLevel.lessThanEqual(fiber.getFiberRef(FiberRef.currentMinimumLogLevel), LogLevel.Debug)

/** Changes the services of the running fiber, from here to the end of the region that has given it others. */
export const changeServices = (
  change: (services: Context.Context<never>) => Context.Context<never>
): Effect.Effect<void> => FiberRef.update(FiberRef.currentContext, change)
