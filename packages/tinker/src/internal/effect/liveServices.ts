/** The services that every program has from Effect as long as it replaces them by no others. */
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Random from "effect/Random"
import * as Tracer from "effect/Tracer"

/** A tracer whose spans nobody sees. */
export const tracer: Tracer.Tracer = Context.get(DefaultServices.liveServices, Tracer.Tracer)

/** A source of numbers that no program has fixed. */
export const random: Random.Random = Context.get(DefaultServices.liveServices, Random.Random)
