/** What clients are told of requests that were accepted and not done. */
import type { EngineError } from "@effect-tinker/engine/Engine"
import type { Failed } from "../../Futures.js"
import type { ServerError } from "../../ServerError.js"
import type * as State from "../models/serverState.js"
import type * as Work from "../models/work.js"
import * as Http from "./http.js"
import { brief } from "./wording.js"

export const of = (error: Work.WorkError): Failed => {
  switch (error._tag) {
    case "UserError":
      return { _tag: "Failed", error: brief(error.detail), category: "user" }
    case "EngineError":
      return {
        _tag: "Failed",
        error: brief(error.description),
        category: error.reason === "Unavailable" || error.reason === "UnsupportedModel" ? "server" : "user"
      }
    case "ServerError":
      return {
        _tag: "Failed",
        error: brief(error.description),
        category: error.reason === "DamagedFile" || error.reason === "FileSystem" ? "server" : "user"
      }
  }
}

/** The failure of what was done and undone, because it could not be kept. */
export const notPersisted = ({ description }: EngineError | ServerError): Failed => ({
  _tag: "Failed",
  error: brief(
    `the server could not keep what this request did, and has undone it, so that nothing has changed: ${description}. `
      + "Send it again as a new request once that is mended"
  ),
  category: "server"
})

/** The refusal of what is done while its client waits. One that is sent again may find an engine that works. */
export const refusal = ({ description, reason }: EngineError): Http.Refusal =>
  reason === "Unavailable" ? Http.refuse(503, description, { "retry-after": "1" }) : Http.refuse(400, description)

/** The failure of a request to a model that is closed. */
export const ofAbandoned = ({ id, lost }: Pick<State.Model, "id" | "lost">): Failed =>
  lost === undefined
    ? {
      _tag: "Failed",
      error: "the model was unloaded or its session finished before the request was done",
      category: "user"
    }
    : { _tag: "Failed", error: `the model ${id} is lost: ${lost}`, category: "server" }
