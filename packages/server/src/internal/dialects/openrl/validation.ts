/** What Open-RL says against requests before it looks at anything else. */
import * as Effect from "effect/Effect"
import type { Answer } from "../../../Dialect.js"
import { answer, detail, type Endpoint, internalServerError, type Received } from "../foreignServer.js"

/** An endpoint that takes an object in JSON, and nothing else. */
export const withBody = (endpoint: Endpoint): Endpoint => (received) => {
  const refused = badBody(received)
  return refused === undefined ? endpoint(received) : Effect.succeed(refused)
}

const badBody = (received: Received): Answer | undefined => {
  const { body, headers, json } = received.call
  if (headers["content-type"]?.includes("json") === true) {
    return typeof json === "object" && json !== null
      ? undefined
      : detail(422, [{ type: "json_invalid", loc: ["body", 0], msg: "JSON decode error" }])
  }
  // The refusal repeats what came, and breaks where that is no text.
  try {
    const input = new TextDecoder("utf-8", { fatal: true }).decode(body)
    return detail(422, [{ type: "dict_type", loc: ["body"], msg: "Input should be a valid dictionary", input }])
  } catch {
    return internalServerError
  }
}

export const isString = (value: unknown): value is string => typeof value === "string" && value !== ""

export const refused = (why: string) => answer({ error: why }, 400)
