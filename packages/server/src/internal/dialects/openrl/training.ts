/** Passes and optimizer steps as Open-RL has them. */
import { type Endpoint, field, text } from "../foreignServer.js"
import * as Models from "./models.js"
import * as State from "./state.js"

export const forwardBackward = (state: State.State): Endpoint => (received) => {
  const input = field(received.call.json, "forward_backward_input")
  const data = field(input, "data") ?? []
  const lossFn = text(input, "loss_fn") ?? "cross_entropy"
  if (!losses.has(lossFn)) return State.accepted(state, State.failed(`Loss ${lossFn} not supported`))
  return Models.submitAndAnswer(
    state,
    received,
    "forward_backward",
    { forward_backward_input: { ...(input as object | undefined), data, loss_fn: lossFn } },
    (body) => {
      const sum = Number(field(field(body, "metrics"), "loss:sum"))
      const outputs = field(body, "loss_fn_outputs")
      return {
        metrics: { "loss:mean": sum / Math.max(1, (data as ReadonlyArray<unknown>).length), "loss:sum": sum },
        loss_fn_outputs: Array.isArray(outputs)
          ? outputs.map((output) => ({ logprobs: field(output, "logprobs") }))
          : [],
        loss_fn_output_type: "ArrayRecord",
        type: "forward_backward"
      }
    }
  )
}

export const optimStep = (state: State.State): Endpoint => (received) =>
  Models.submitAndAnswer(
    state,
    received,
    "optim_step",
    { adam_params: field(received.call.json, "adam_params") ?? {} },
    (body) => ({
      metrics: { "grad_norm:mean": field(field(body, "metrics"), "unclipped_grad_l2:mean") ?? 0 },
      type: "optim_step"
    })
  )

const losses: ReadonlySet<string> = new Set(["cross_entropy", "importance_sampling", "ppo"])
