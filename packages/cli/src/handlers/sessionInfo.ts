import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import * as Wire from "../Wire.js"

export const info: Handler<{ readonly id: string; readonly accessScope: "owned" | "accessible" }> = (
  { accessScope, id }
) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const rest = yield* RestClient.RestClient
    const session = yield* Connection.brief(rest.getSession(id, { accessScope }))
    const several = (name: string, values: ReadonlyArray<string>) =>
      values.map((value, index) => [index === 0 ? name : "", value] as const)
    yield* output.result({
      json: { session_id: id, ...Wire.session(session) },
      text: Table.facts(`Session: ${id}`, [
        ["Session ID", id],
        ...(session.displayName === undefined ? [] : [["Name", session.displayName] as const]),
        ...several("Training Runs", session.trainingRunIds),
        ...several("Samplers", session.samplerIds),
        ...Object.entries(session.userMetadata ?? {}).map(([key, value]) => [`  - ${key}`, value] as const)
      ])
    })
  }).pipe(Effect.provide(Connection.layer))
