/** What the handlers of requests have in common that wait in the queue of a model. */
import type * as Endpoint from "@effect-tinker/protocol/Endpoint"
import type { ModelId } from "@effect-tinker/protocol/Identifiers"
import type { UntypedFuture } from "@effect-tinker/protocol/ModelsMessages"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Completed } from "../../Futures.js"
import * as Eithers from "../effect/eithers.js"
import * as Http from "../http/http.js"
import * as Lookups from "../resources/lookups.js"
import * as Models from "./models.js"
import type * as State from "./serverState.js"
import * as Work from "./work.js"

/** Takes a request in JSON for the model that it names; one that cannot be read frees its number. */
export const handler = <A extends { readonly modelId: ModelId; readonly seqId: number }, I>(
  state: State.ServerState,
  schema: Schema.Schema<A, I>,
  options: {
    readonly work: (request: A, model: State.Model, received: Http.Received) => Work.Work
    /** What can be said against a request when it arrives for the first time. */
    readonly admit?: (
      request: A,
      model: State.Model,
      received: Http.Received
    ) => Effect.Effect<void, Http.Refusal>
  }
): Http.Handler<UntypedFuture> =>
(request) =>
  Effect.gen(function*() {
    const value = yield* Eithers.toEffect(Http.parseJson(request.body))
    const wanted = yield* releaseNumberOnRefusal(state, value, Eithers.toEffect(Http.decode(schema, value)))
    const model = yield* Lookups.requireModel(state, wanted.modelId)
    yield* requireSeqId(wanted.seqId)
    return yield* Models.submit(state, model, {
      seqId: wanted.seqId,
      request,
      work: options.work(wanted, model, request),
      admit: options.admit?.(wanted, model, request)
    })
  })

/** A request in JSON that is refused while it is read: the numbers after its own need not wait for it. */
export const releaseNumberOnRefusal = <A>(
  state: State.ServerState,
  value: unknown,
  read: Effect.Effect<A, Http.Refusal>
): Effect.Effect<A, Http.Refusal> =>
  Effect.tapError(read, () => {
    const modelId = Predicate.hasProperty(value, "model_id") ? value.model_id : undefined
    const seqId = Predicate.hasProperty(value, "seq_id") ? value.seq_id : undefined
    const model = typeof modelId === "string" ? state.models.get(modelId) : undefined
    return model !== undefined && typeof seqId === "number" ? Models.rejectNumber(state, model, seqId) : Effect.void
  })

/** 0 is what a protobuf message without the field says. */
export const requireSeqId = (seqId: number): Effect.Effect<void, Http.Refusal> =>
  seqId >= 1 ? Effect.void : Http.refuse(422, `seq_id is ${seqId}; requests of a model are numbered from 1`)

/** The optimizer that a model is to have. */
export const requireAdamW = (config: { readonly type: string } | undefined): Effect.Effect<void, Http.Refusal> =>
  config === undefined || config.type === "adamw"
    ? Effect.void
    : Http.refuse(400, `this server has the optimizer adamw alone, not ${config.type}`)

/** What the request for an endpoint has come to, as its schema has it. */
export const completed = <const E extends Endpoint.Endpoint & { readonly result: Schema.Schema.AnyNoContext }>(
  { result }: E,
  value: Endpoint.Result<E>
): Completed => {
  const json = Http.encode(result, value)
  return { _tag: "Completed", json: () => json }
}

export const userError = (detail: string) => new Work.UserError({ detail })

export const orUserError = <A>(either: Either.Either<A, string>): Effect.Effect<A, Work.UserError> =>
  Eithers.toEffect(Either.mapLeft(either, userError))
