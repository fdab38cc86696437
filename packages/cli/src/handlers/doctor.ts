import * as UndiciHttpClient from "@effect-tinker/node/UndiciHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as RestClient from "effect-tinker/RestClient"
import * as TinkerConfig from "effect-tinker/TinkerConfig"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as Output from "../Output.js"
import * as StoredKey from "../StoredKey.js"
import * as Table from "../Table.js"
import { Variables } from "../Variables.js"
import { current } from "../Version.js"

interface Finding {
  readonly name: string
  readonly state: "ok" | "note" | "wrong"
  readonly what: string
}

export const doctor: Handler<unknown> = () =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    const settings = yield* Connection.settings
    const baseUrl = (settings.get("TINKER_BASE_URL") ?? TinkerConfig.hosted).replace(/\/+$/, "")
    const findings: ReadonlyArray<Finding> = [
      {
        name: "Versions",
        state: "ok",
        what: `tinker ${current}, protocol ${TinkerConfig.protocolVersion}, Node ${process.versions.node}`
      },
      yield* credential(settings),
      { name: "Address", state: "ok", what: baseUrl.replace(/\/\/[^/@]*@/, "//…@") },
      yield* proxy,
      ...yield* reached(baseUrl),
      ...yield* answers
    ]
    yield* output.result({
      json: { checks: findings },
      text: Table.facts(
        findings.some(({ state }) => state === "wrong") ? "Something is wrong" : "All is well",
        findings.map(({ name, state, what }) => [name, `${state === "ok" ? "" : `${state}: `}${what}`])
      )
    })
    const wrong = findings.filter(({ state }) => state === "wrong")
    if (wrong.length > 0) {
      return yield* Failure.failed(
        `${wrong.map(({ name }) => name.toLowerCase()).join(", ")} ${
          wrong.length === 1 ? "is" : "are"
        } not as they should be.`
      )
    }
  })

const credential = (settings: ReadonlyMap<string, string>) =>
  Effect.map(Effect.either(StoredKey.find), (stored): Finding => {
    const name = "Credential"
    if (settings.has("TINKER_API_KEY")) return { name, state: "ok", what: "TINKER_API_KEY" }
    if (settings.has("TINKER_CREDENTIAL_CMD")) {
      return { name, state: "ok", what: "the command of TINKER_CREDENTIAL_CMD" }
    }
    if (Either.isLeft(stored)) return { name, state: "wrong", what: stored.left.message }
    const key = Option.getOrUndefined(stored.right)?.key
    return key === undefined
      ? { name, state: "note", what: "none; a server on this machine needs none, others do: tinker auth login" }
      : { name, state: "ok", what: `the stored key ${key.name}` }
  })

const proxy = Effect.map(Variables, (variables): Finding => {
  const set = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"]
    .filter((name) => (variables[name] ?? "") !== "")
  return { name: "Proxy", state: "ok", what: set.length === 0 ? "none" : `as ${set.join(" and ")} say` }
})

/** A difference of clocks that matters to tokens and signed addresses, in seconds. */
const worrying = 60

const reached = (baseUrl: string) =>
  Effect.gen(function*() {
    const client = yield* HttpClient.HttpClient
    const began = yield* Clock.currentTimeMillis
    const answer = yield* client.execute(HttpClientRequest.get(`${baseUrl}/api/v1/healthz`)).pipe(
      Effect.timeout("10 seconds"),
      Effect.either
    )
    const ended = yield* Clock.currentTimeMillis
    if (Either.isLeft(answer)) {
      return [{
        name: "Reachable",
        state: "wrong",
        what: "nothing answers there. Check the address, the network, and that the server runs."
      }] satisfies ReadonlyArray<Finding>
    }
    const { headers, status } = answer.right
    const date = Date.parse(headers.date ?? "")
    const ahead = Math.round((date - (began + ended) / 2) / 1000)
    return [
      status === 200
        ? { name: "Reachable", state: "ok", what: `in ${ended - began} ms` }
        : {
          name: "Reachable",
          state: "wrong",
          what: `/api/v1/healthz answers ${status}: this may be no Tinker server`
        },
      Number.isNaN(date)
        ? { name: "Clock", state: "note", what: "the server does not tell its time" }
        : Math.abs(ahead) > worrying
        ? {
          name: "Clock",
          state: "wrong",
          what: `the server's is ${Math.abs(ahead)} s ${ahead > 0 ? "ahead of" : "behind"} this machine's`
        }
        : { name: "Clock", state: "ok", what: "as the server's" }
    ] satisfies ReadonlyArray<Finding>
  }).pipe(Effect.provide(UndiciHttpClient.layer))

/** What the server answers to, each by a question that changes nothing. */
const answers = Effect.gen(function*() {
  const rest = yield* RestClient.RestClient
  const questions = {
    Models: Effect.map(rest.getServerCapabilities, ({ supportedModels }) => `${supportedModels.length}`),
    Runs: Effect.map(rest.listTrainingRuns({ limit: 1 }), ({ cursor }) => `${cursor.totalCount}`),
    Checkpoints: Effect.map(
      rest.listUserCheckpoints({ limit: 1 }),
      ({ checkpoints, cursor }) => `${cursor?.totalCount ?? checkpoints.length}`
    ),
    Sessions: Effect.map(rest.listSessions({ limit: 1 }), ({ sessions }) => sessions.length === 0 ? "none" : "some")
  }
  return yield* Effect.forEach(
    Object.entries(questions),
    ([name, question]) =>
      Effect.match(Connection.brief(question), {
        onSuccess: (what): Finding => ({ name, state: "ok", what }),
        onFailure: (error): Finding => {
          const { code, message } = Failure.ofError(error)
          return code === "unsupported" || code === "not_found"
            ? { name, state: "note", what: "the server has no such list" }
            : { name, state: "wrong", what: message }
        }
      })
  )
}).pipe(
  Effect.provide(Connection.layer),
  Effect.catchAll((error) =>
    Effect.succeed(
      [{ name: "Settings", state: "wrong", what: Failure.ofError(error).message }] satisfies ReadonlyArray<Finding>
    )
  )
)
