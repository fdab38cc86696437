import { BigramEngine, Engine } from "@effect-tinker/engine"
import { Context, Effect, Layer, PubSub, Stream } from "effect"

type Method = "createModel" | "forwardBackward" | "optimStep" | "snapshot" | "createSampler" | "sample"

/** What computes, which can be ended. Another takes its place, without anything that was there. */
export class Crashes extends Context.Tag("test/Crashes")<Crashes, {
  /** Ends it when it is asked for this the next time, before it is done. */
  readonly dieAt: (method: Method) => Effect.Effect<void>
}>() {}

interface Life {
  readonly engine: Engine.Service
  hasEnded: boolean
}

const death = new Engine.EngineError({ reason: "Unavailable", description: "it was ended; it is started anew" })

export const layer = (options?: BigramEngine.Options): Layer.Layer<Engine.Engine | Crashes> =>
  Layer.effectContext(Effect.gen(function*() {
    const losses = yield* PubSub.unbounded<Engine.EngineError>()
    const begin = (): Life => ({ engine: BigramEngine.make(options), hasEnded: false })
    let current = begin()
    let last: Method | undefined
    const models = new Map<string, Life>()
    const samplers = new Map<string, Life>()

    const ask = <A>(
      life: Life,
      method: Method | undefined,
      call: (engine: Engine.Service) => Effect.Effect<A, Engine.EngineError>
    ): Effect.Effect<A, Engine.EngineError> =>
      Effect.suspend(() => {
        if (method === undefined || method !== last) {
          return life.hasEnded ? death : call(life.engine)
        }
        last = undefined
        life.hasEnded = true
        current = begin()
        return Effect.zipRight(PubSub.publish(losses, death), death)
      })
    const made = <A>(
      where: Map<string, Life>,
      id: string,
      method: Method | undefined,
      call: (engine: Engine.Service) => Effect.Effect<A, Engine.EngineError>
    ) =>
      Effect.suspend(() => {
        const life = current
        return Effect.tap(ask(life, method, call), () => Effect.sync(() => where.set(id, life)))
      })
    const of = (where: Map<string, Life>, id: string) => where.get(id) ?? current
    const freed = (
      where: Map<string, Life>,
      id: string,
      call: (engine: Engine.Service) => Effect.Effect<void, Engine.EngineError>
    ) =>
      Effect.suspend(() => {
        const life = of(where, id)
        where.delete(id)
        return call(life.engine)
      })

    const engine: Engine.Service = {
      baseModels: current.engine.baseModels,
      createModel: (id, options) => made(models, id, "createModel", (engine) => engine.createModel(id, options)),
      forwardBackward: (id, options) =>
        Effect.suspend(() => ask(of(models, id), "forwardBackward", (engine) => engine.forwardBackward(id, options))),
      optimStep: (id, params) =>
        Effect.suspend(() => ask(of(models, id), "optimStep", (engine) => engine.optimStep(id, params))),
      snapshot: (id) => Effect.suspend(() => ask(of(models, id), "snapshot", (engine) => engine.snapshot(id))),
      accumulated: (id) => Effect.suspend(() => ask(of(models, id), undefined, (engine) => engine.accumulated(id))),
      restore: (id, snapshot, options) =>
        made(models, id, undefined, (engine) => engine.restore(id, snapshot, options)),
      unloadModel: (id) => freed(models, id, (engine) => engine.unloadModel(id)),
      createSampler: (id, options) =>
        made(samplers, id, "createSampler", (engine) => engine.createSampler(id, options)),
      sample: (id, request) =>
        Effect.suspend(() => ask(of(samplers, id), "sample", (engine) => engine.sample(id, request))),
      unloadSampler: (id) => freed(samplers, id, (engine) => engine.unloadSampler(id)),
      hasLost: (what, id) => (what === "model" ? models : samplers).get(id)?.hasEnded === true,
      losses: Stream.fromPubSub(losses)
    }
    return Context.make(Engine.Engine, engine).pipe(Context.add(Crashes, {
      dieAt: (method) =>
        Effect.sync(() => {
          last = method
        })
    }))
  }))
