/** Handler of the figures about a server. */
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import type * as Metrics from "./metrics.js"

export const make = (state: State.ServerState, metrics: Metrics.Metrics | undefined) => {
  const figures: Http.Handler = () =>
    Effect.gen(function*() {
      if (metrics === undefined) return yield* Http.refuse(404, "this server counts nothing")
      let sessions = 0
      for (const session of state.sessions.list()) {
        if (session.status._tag === "Active") sessions += 1
      }
      let models = 0
      let waiting = 0
      for (const model of state.models.values()) {
        if (!model.unloaded && model.session.status._tag === "Active") models += 1
        waiting += yield* model.queue.length
      }
      const text = metrics.render([
        { name: "tinker_sessions", help: "Sessions that have not ended", type: "gauge", samples: [[{}, sessions]] },
        { name: "tinker_models", help: "Models that are loaded", type: "gauge", samples: [[{}, models]] },
        {
          name: "tinker_queue_length",
          help: "Requests that wait or run",
          type: "gauge",
          samples: [[{ queue: "training" }, waiting], [{ queue: "sampling" }, state.sampling.size]]
        },
        {
          name: "tinker_samples_held",
          help: "Samples among them that wait for others to end",
          type: "gauge",
          samples: [[{}, state.limits.waitingSamples()]]
        },
        {
          name: "tinker_waiting_bytes",
          help: "Size of requests that wait or run",
          type: "gauge",
          samples: [[{}, state.limits.waitingBytes()]]
        },
        {
          name: "tinker_tokens_total",
          help: "Tokens of requests that have succeeded",
          type: "counter",
          samples: Array.from(state.usage.totals, ([kind, tokens]) => [{ kind }, tokens] as const)
        }
      ])
      return HttpServerResponse.text(text, { contentType: "text/plain; version=0.0.4; charset=utf-8" })
    })
  return { figures }
}
