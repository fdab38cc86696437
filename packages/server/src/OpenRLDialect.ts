/**
 * This server, speaking as Open-RL does: its endpoints, statuses, bodies and paths. Source: gke-labs/open-rl, `src/server` at
 * commit bfc0f09, one process that samples by itself. What computes stays this server's engine.
 *
 * - A request that comes again is done again: an optimizer step that is sent twice is applied twice.
 * - There is one session for all, which nobody ends, and nothing of REST.
 * - Samplers sample from their model as it is then, and from no base model. Of a prompt the first chunk alone is read.
 * - A restart forgets all but the folders that saves have made; a result that it does not know it promises for ever.
 */
import * as Effect from "effect/Effect"
import type { Dialect } from "./Dialect.js"
import { answer, type Endpoint, fastApi } from "./internal/dialects/foreignServer.js"
import * as Checkpoints from "./internal/dialects/openrl/checkpoints.js"
import * as Futures from "./internal/dialects/openrl/futures.js"
import * as Models from "./internal/dialects/openrl/models.js"
import * as Sampling from "./internal/dialects/openrl/sampling.js"
import * as State from "./internal/dialects/openrl/state.js"
import * as Training from "./internal/dialects/openrl/training.js"
import { withBody } from "./internal/dialects/openrl/validation.js"

/**
 * A server that nobody has used. The same dialect, given to the next server over the same checkpoints, is Open-RL after a
 * restart.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  /** Where it keeps what it saves, as paths tell. Default `/tmp/open-rl`. */
  readonly folder?: string | undefined
} = {}): Dialect => {
  const state = State.make(options.folder ?? "/tmp/open-rl")
  return fastApi({
    "GET healthz": always({ status: "ok" }),
    "GET get_server_capabilities": (received) =>
      Effect.map(
        Models.defaultModel(received),
        (name) => answer({ supported_models: [{ model_name: name }], default_model: name, single_process: true })
      ),
    "POST client/config": withBody(always({
      pjwt_auth_enabled: false,
      credential_default_source: "api_key",
      sample_dispatch_bytes_semaphore_size: 10 * 1024 * 1024,
      inflight_response_bytes_semaphore_size: 50 * 1024 * 1024
    })),
    "POST create_session": withBody(always({ session_id: "sess-real-123", type: "create_session" })),
    "POST session_heartbeat": withBody(always({ type: "session_heartbeat" })),
    "POST create_model": withBody(Models.createModel(state)),
    "POST create_model_from_state": withBody(Checkpoints.createModelFromState(state)),
    "POST get_info": withBody(Models.getInfo(state)),
    "POST retrieve_future": withBody(Futures.retrieveFuture(state)),
    "POST forward_backward": withBody(Training.forwardBackward(state)),
    "POST optim_step": withBody(Training.optimStep(state)),
    "POST save_weights_for_sampler": withBody(Sampling.saveWeightsForSampler(state)),
    "POST save_weights": withBody(Checkpoints.saveWeights(state)),
    "POST load_weights": withBody(Checkpoints.loadWeights(state)),
    "POST create_sampling_session": withBody(Sampling.createSamplingSession),
    "POST asample": withBody(Sampling.asample(state)),
    "POST telemetry": withBody(always({ status: "accepted" }))
  })
}

const always = (body: unknown): Endpoint => () => Effect.succeed(answer(body))
