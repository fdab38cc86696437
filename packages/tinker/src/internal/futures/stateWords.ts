import type { State } from "../../ApiFuture.js"

/** A state in words, for errors. */
export const inWords = (state: State): string => {
  switch (state._tag) {
    case "queued":
      return `${state.queueState}${state.reason === undefined ? "" : `: ${state.reason}`}`
    case "running":
      return `active${state.reason === undefined ? "" : `: ${state.reason}`}`
    case "paused":
      return "no credit"
    case "retrying":
      return `asking for it failed: ${state.error.message}`
    default:
      return state._tag
  }
}
