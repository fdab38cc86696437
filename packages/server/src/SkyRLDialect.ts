/**
 * This server, speaking as SkyRL does: its paths, ids, statuses, bodies and lists. Source: NovaSky-AI/SkyRL, `skyrl/tinker` at
 * commit a956457, with the JAX backend. What computes stays this server's engine; SkyRL's own mean over each sequence, its shared
 * adapters and what its validation says of data are not copied.
 *
 * - A number of a model is told of as used by another only between passes and steps. Saves and loads are not numbered: a repeated
 *   save is a second one, and its name is taken.
 * - Requests run in the order in which they arrive, whatever their numbers.
 * - What its database holds outlives a restart: sessions, names, checkpoints. Models do not, and without its model no checkpoint
 *   is sampled from either.
 */
import * as Effect from "effect/Effect"
import type { Dialect } from "./Dialect.js"
import { answer, fastApi } from "./internal/dialects/foreignServer.js"
import * as Checkpoints from "./internal/dialects/skyrl/checkpoints.js"
import * as Futures from "./internal/dialects/skyrl/futures.js"
import * as Models from "./internal/dialects/skyrl/models.js"
import * as Sampling from "./internal/dialects/skyrl/sampling.js"
import * as Sessions from "./internal/dialects/skyrl/sessions.js"
import * as State from "./internal/dialects/skyrl/state.js"
import * as Training from "./internal/dialects/skyrl/training.js"
import * as TrainingRuns from "./internal/dialects/skyrl/trainingRuns.js"

/**
 * A server that nobody has used. The same dialect, given to the next server over the same checkpoints, is SkyRL after a restart.
 * Downloads need the server's option `archives`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (): Dialect => {
  const state = State.make()
  return fastApi({
    "POST client/config": () => Effect.succeed(answer({ pjwt_auth_enabled: false })),
    "GET healthz": () => Effect.succeed(answer({ status: "ok" })),
    "GET get_server_capabilities": (received) =>
      Effect.map(
        Models.baseModels(received),
        (names) => answer({ supported_models: names.map((model_name) => ({ model_name })) })
      ),
    "POST create_session": Sessions.createSession(state),
    "POST session_heartbeat": Sessions.heartbeat(state),
    "POST create_sampling_session": Sampling.createSamplingSession(state),
    "GET samplers/:id": Sampling.getSampler(state),
    "POST create_model": Models.createModel(state),
    "POST unload_model": Models.unloadModel(state),
    "POST get_info": Models.getInfo(state),
    "POST forward_backward": Training.forwardBackward(state),
    "POST forward": Training.forward(state),
    "POST optim_step": Training.optimStep(state),
    "POST load_weights": Checkpoints.loadWeights(state),
    "POST save_weights": Checkpoints.saveWeights(state),
    "POST save_weights_for_sampler": Checkpoints.saveWeightsForSampler(state),
    "POST weights_info": Checkpoints.weightsInfo(state),
    "POST asample": Sampling.asample(state),
    "POST retrieve_future": Futures.retrieveFuture(state),
    "POST telemetry": () => Effect.succeed(answer({ status: "accepted" })),
    "GET training_runs": TrainingRuns.listTrainingRuns(state),
    "GET training_runs/:id": TrainingRuns.getTrainingRun(state),
    "GET training_runs/:id/checkpoints": TrainingRuns.listCheckpoints(state),
    "GET models/:id/checkpoints": TrainingRuns.listCheckpoints(state),
    "GET training_runs/:id/checkpoints/:name/archive": Checkpoints.archive(state),
    "DELETE training_runs/:id/checkpoints/*": Checkpoints.deleteCheckpoint(state)
  })
}
