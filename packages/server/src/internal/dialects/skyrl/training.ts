/** Passes and optimizer steps as SkyRL has them. */
import * as TrainingMessages from "@effect-tinker/protocol/TrainingMessages"
import * as Effect from "effect/Effect"
import { fingerprint } from "../../http/http.js"
import { detail, type Endpoint, field, type Received } from "../foreignServer.js"
import * as Models from "./models.js"
import * as State from "./state.js"
import * as Validation from "./validation.js"

export const forwardBackward = (state: State.State): Endpoint => (received) => {
  const { body, headers, json } = received.call
  if (headers["content-type"]?.includes("protobuf") === true) {
    if (json === undefined) {
      return Effect.succeed(detail(422, "Invalid proto forward_backward body: Error parsing message"))
    }
    const type = field(json, "forward_only") === true ? "forward" : "forward_backward"
    return submitNumbered(state, type, fingerprint(body), passOf, received)
  }
  return submitNumbered(state, "forward_backward", payloadOf(field(json, "forward_backward_input")), passOf, received)
}

export const forward = (state: State.State): Endpoint => (received) =>
  submitNumbered(state, "forward", payloadOf(field(received.call.json, "forward_input")), passOf, received)

export const optimStep = (state: State.State): Endpoint => (received) => {
  const params = field(received.call.json, "adam_params")
  if (params === undefined) return Effect.succeed(Validation.missing(received, "adam_params"))
  // The norm of gradients is not bounded here.
  const { grad_clip_norm: _, ...adam } = params as Readonly<Record<string, unknown>>
  const toResult = (body: unknown) => ({
    metrics: {
      "skyrl.ai/grad_norm": field(field(body, "metrics"), "unclipped_grad_l2:mean") ?? 0,
      "skyrl.ai/learning_rate": adam.learning_rate ?? 1e-4
    }
  })
  const json = { ...(received.call.json as object), adam_params: adam }
  return submitNumbered(state, "optim_step", payloadOf(adam), toResult, {
    ...received,
    call: { ...received.call, json }
  })
}

/** A pass or a step, which is known by its number when it comes again. */
const submitNumbered = (
  state: State.State,
  type: string,
  payload: string,
  toResult: State.Future["toResult"],
  received: Received
) => {
  const model = State.modelOf(state, received)
  if (model === undefined) return Effect.succeed(State.noModel)
  // Without a number, which protobuf says by 0, nothing is recognized.
  const number = Number(field(received.call.json, "seq_id") ?? 0)
  const before = model.numbered.get(number)
  if (before !== undefined) {
    return Effect.succeed(
      before.type === type && before.payload === payload
        ? State.accepted(before.requestId)
        : detail(409, "Training request sequence number was reused")
    )
  }
  const unloaded = type === "optim_step" ? Models.staleRequest(model) : Models.notLoaded(model)
  return Effect.map(
    Models.submit(
      state,
      model,
      unloaded,
      (ids) => received.ask({ ...received.call, json: { ...(received.call.json as object), ...ids } }),
      { toResult, onLost: () => Effect.succeed(detail(400, unloaded)) }
    ),
    (submitted) => {
      if (typeof submitted !== "string") return submitted
      if (number !== 0) model.numbered.set(number, { type, payload, requestId: submitted })
      return State.accepted(submitted)
    }
  )
}

const payloadOf = (input: unknown): string => JSON.stringify(input) ?? ""

/** There are no metrics of passes. */
const passOf = (body: unknown): unknown => {
  if (!(body instanceof Uint8Array)) return { ...(body as object), loss_fn_output_type: "scalar", metrics: {} }
  const output = TrainingMessages.decodeForwardBackwardOutput(body)
  return TrainingMessages.encodeForwardBackwardOutput({ ...output, lossFnOutputType: "scalar", metrics: {} })
}
