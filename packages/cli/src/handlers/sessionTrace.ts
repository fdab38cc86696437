import * as UndiciHttpClient from "@effect-tinker/node/UndiciHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as RestClient from "effect-tinker/RestClient"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Humanize from "../Humanize.js"
import * as NewFile from "../NewFile.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"

export const exportTrace: Handler<{
  readonly id: string
  readonly output: Option.Option<string>
  readonly urlOnly: boolean
  readonly force: boolean
  readonly wait: Option.Option<number>
}> = ({ force, id, output: place, urlOnly, wait }) =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const destination = Option.getOrElse(place, () => `${id}.pftrace`)
    if (!urlOnly && destination !== "-") yield* NewFile.check(destination, { isReplaced: force })
    yield* output.progress(`The service is writing down what happened in ${id} …`)
    const rest = yield* RestClient.RestClient
    const url = Redacted.value(
      yield* Connection.impatient(rest.exportSessionTrace(id, { deadline: Option.getOrElse(wait, () => 600_000) }))
    )
    yield* output.progress("")
    if (urlOnly) return yield* output.result({ json: { session_id: id, url }, text: () => `${url}\n` })
    const bytes = fetched(url, (received) => output.progress(`Downloading the trace: ${Humanize.size(received)}`))
    if (destination === "-") {
      const parts = yield* Stream.runCollect(bytes)
      return yield* output.raw(Chunk.toReadonlyArray(parts))
    }
    const size = yield* NewFile.write(destination, bytes)
    yield* output.progress("")
    yield* output.result({
      json: { session_id: id, destination, file_size_bytes: size },
      text: Table.facts(`Trace Export: ${id}`, [
        ["Session ID", id],
        ["Saved to", destination],
        ["Size", Humanize.size(size)]
      ])
    })
    yield* output.notice("Open it at https://ui.perfetto.dev")
  }).pipe(Effect.provide([Connection.layer, UndiciHttpClient.layer]))

/** The address is signed, and gets no credential of ours. One that tells its length must be as long. */
const fetched = (url: string, onBytes: (received: number) => Effect.Effect<void>) =>
  Stream.unwrap(
    Effect.gen(function*() {
      const client = HttpClient.filterStatusOk(yield* HttpClient.HttpClient)
      const response = yield* client.get(url)
      const announced = Number(response.headers["content-length"] ?? NaN)
      let received = 0
      return HttpClientResponse.stream(Effect.succeed(response)).pipe(
        Stream.tap((part) => onBytes(received += part.length)),
        Stream.concat(Stream.fromEffectOption(Effect.suspend(() =>
          Number.isNaN(announced) || received === announced
            ? Effect.fail(Option.none())
            : Effect.fail(Option.some(new Error(`${received} of ${announced} bytes`)))
        )))
      )
    })
  ).pipe(
    Stream.mapError((cause) =>
      Failure.failed(
        `the trace could not be fetched whole (${
          why(cause)
        }), and nothing was kept. Ask again: its address lives an hour.`
      )
    )
  )

const why = (cause: unknown): string =>
  typeof cause === "object" && cause !== null && "reason" in cause
    ? String(cause.reason)
    : cause instanceof Error
    ? cause.message
    : "?"
