/**
 * The checkpoints of all the user's training runs, the newest first.
 */
import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Connection from "./Connection.js"
import * as Paging from "./Paging.js"

/** Source of the size of a page: the Python SDK's command line 0.38.0; each page costs the server much. */
const pageSize = 1000

/**
 * The first `limit` of them behind `offset`, or all if `limit` is 0, and how many there are.
 *
 * @since 0.1.0
 * @category utils
 */
export const list = (place: { readonly limit: number; readonly offset: number }) =>
  Effect.flatMap(RestClient.RestClient, (rest) =>
    Paging.collect({
      ...place,
      pageSize,
      nouns: "checkpoints",
      idOf: (checkpoint: Checkpoint) => checkpoint.tinkerPath,
      page: (page) =>
        Effect.map(
          Connection.brief(rest.listUserCheckpoints(page)),
          ({ checkpoints, cursor }) => ({ entries: checkpoints, total: cursor?.totalCount })
        )
    }))
