/** Handlers of what is told about training runs: models, and those of earlier servers whose checkpoints are there. */
import type { Answer } from "@effect-tinker/protocol/Endpoint"
import * as Endpoints from "@effect-tinker/protocol/Endpoints"
import type * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type { TrainingRun } from "@effect-tinker/protocol/TrainingRun"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as CheckpointStore from "../../CheckpointStore.js"
import * as Http from "../http/http.js"
import type * as State from "../models/serverState.js"
import * as Listing from "./listing.js"
import * as Users from "./users.js"

export const make = (state: State.ServerState) => {
  /** A run with its checkpoints, the oldest first; undefined when there is none. */
  const runOf = (id: string, checkpoints: ReadonlyArray<CheckpointStore.Info>): Run | undefined => {
    const model = state.models.get(id)
    if (model !== undefined) {
      const { baseModel, createdAt, lastRequestAt, lora, session, userMetadata } = model
      return {
        id,
        checkpoints,
        owner: session.owner,
        baseModel: baseModel.name,
        rank: lora.rank,
        createdAt,
        lastRequestAt,
        projectId: session.projectId,
        userMetadata: userMetadata && Listing.textsOf(userMetadata)
      }
    }
    const newest = checkpoints.at(-1)
    return newest && {
      id,
      checkpoints,
      owner: newest.owner,
      baseModel: newest.baseModel,
      rank: newest.lora.rank,
      createdAt: checkpoints[0]!.createdAt,
      lastRequestAt: newest.createdAt,
      projectId: state.projectsOfCopies.get(id),
      userMetadata: undefined
    }
  }

  const requireRun = (request: Http.Received) =>
    Effect.gen(function*() {
      const id = request.params.id ?? ""
      const checkpoints = (yield* state.store.list).filter(({ path }) => path.trainingRunId === id)
      const run = runOf(id, checkpoints)
      if (run === undefined) return yield* Http.refuse(404, `there is no training run ${id}`)
      const visible = readable(run, yield* Users.isOwner)
      if (visible === undefined) yield* Users.requireOwner(`the training run ${id}`, run.owner)
      return visible ?? run
    })

  const listTrainingRuns: Http.Handler<Answer<typeof Endpoints.listTrainingRuns>> = (request) =>
    Effect.gen(function*() {
      const { accessScope, limit, offset, projectId } = yield* Http.decodeQuery(
        Endpoints.listTrainingRuns.query,
        request
      )
      const byRun = new Map<string, Array<CheckpointStore.Info>>()
      for (const id of state.models.keys()) byRun.set(id, [])
      for (const info of yield* state.store.list) {
        const id = info.path.trainingRunId
        const known = byRun.get(id)
        if (known === undefined) byRun.set(id, [info])
        else known.push(info)
      }
      const isOwner = yield* Users.isOwner
      const runs: Array<Run> = []
      for (const [id, checkpoints] of byRun) {
        const whole = runOf(id, checkpoints)
        if (whole === undefined || (projectId !== undefined && whole.projectId !== projectId)) continue
        const run = accessScope === "accessible" || isOwner(whole.owner) ? readable(whole, isOwner) : undefined
        if (run !== undefined) runs.push(run)
      }
      // Of those made in the same instant, the later one comes first too.
      runs.reverse().sort((a, b) => b.createdAt - a.createdAt)
      return Http.answer(Endpoints.listTrainingRuns, {
        trainingRuns: runs.slice(offset, offset + limit).map(told),
        cursor: { offset, limit, totalCount: runs.length }
      })
    })

  const getTrainingRun: Http.Handler<Answer<typeof Endpoints.getTrainingRun>> = (request) =>
    Effect.zipRight(
      Http.decodeQuery(Endpoints.getTrainingRun.query, request),
      Effect.map(requireRun(request), (run) => Http.answer(Endpoints.getTrainingRun, told(run)))
    )

  const listCheckpoints: Http.Handler<Answer<typeof Endpoints.listCheckpoints>> = (request) =>
    Effect.map(
      requireRun(request),
      ({ checkpoints }) =>
        Http.answer(Endpoints.listCheckpoints, {
          checkpoints: Listing.readableBy(request.headers, checkpoints).map(Listing.checkpointOf)
        })
    )

  return { listTrainingRuns, getTrainingRun, listCheckpoints }
}

/** What there is to see of a run: of somebody else's, what is public; undefined when nothing is. */
const readable = (run: Run, isOwner: (owner: Users.Owner) => boolean): Run | undefined => {
  if (isOwner(run.owner)) return run
  const checkpoints = run.checkpoints.filter((info) => info.public)
  return checkpoints.length === 0 ? undefined : { ...run, checkpoints, projectId: undefined, userMetadata: undefined }
}

interface Run {
  readonly id: string
  readonly owner: Users.Owner
  readonly checkpoints: ReadonlyArray<CheckpointStore.Info>
  readonly baseModel: string
  readonly rank: number
  readonly createdAt: number
  readonly lastRequestAt: number
  readonly projectId: string | undefined
  readonly userMetadata: Readonly<Record<string, string>> | undefined
}

const told = (run: Run): TrainingRun => {
  const last = (type: TinkerPath.CheckpointType) => {
    const found = run.checkpoints.findLast(({ path }) => path.checkpointType === type)
    return found && Listing.checkpointOf(found)
  }
  return {
    trainingRunId: run.id,
    baseModel: run.baseModel,
    modelOwner: run.owner ?? "local",
    isLora: true,
    corrupted: false,
    loraRank: run.rank,
    lastRequestTime: DateTime.unsafeMake(run.lastRequestAt),
    lastCheckpoint: last("training"),
    lastSamplerCheckpoint: last("sampler"),
    userMetadata: run.userMetadata
  }
}
