import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Humanize from "../Humanize.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"

/** How many are asked for at once. */
const pageSize = 100

export const list: Handler<{
  readonly limit: number
  readonly offset: number
  readonly accessScope: "owned" | "accessible"
}> = ({ accessScope, limit, offset }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const rest = yield* RestClient.RestClient
    const ids = new Set<string>()
    // A page does not say how many there are, so that the one after it has to be asked for.
    for (let at = offset, isEnd = false; !isEnd && (limit === 0 || ids.size < limit); at += pageSize) {
      const wanted = limit === 0 ? pageSize : Math.min(pageSize, limit - ids.size)
      const { sessions } = yield* Connection.brief(rest.listSessions({ accessScope, limit: wanted, offset: at }))
      for (const id of sessions) ids.add(id)
      isEnd = sessions.length < wanted
    }
    const all = Array.from(ids)
    yield* output.result({
      json: { sessions: all },
      text: Table.table(
        all.length === 0 ? "No sessions found" : Humanize.counted(all.length, "session"),
        [{ title: "Session ID", text: (id: string) => id }],
        all
      )
    })
  }).pipe(Effect.provide(Connection.layer))
