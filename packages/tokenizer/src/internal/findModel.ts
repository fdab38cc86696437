import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { TokenizerError } from "../TokenizerError.js"
import * as HubSettings from "./hubSettings.js"
import { readFolder } from "./readFolder.js"

/** What is asked of a model to find its tokenizer; what the SDK knows of a training client's model fits. */
export interface ModelInfo {
  readonly modelName?: string | undefined
  readonly modelData?:
    | { readonly modelName?: string | undefined; readonly tokenizerId?: string | undefined }
    | undefined
}

/** Names of which the Hub has another repository that anyone may read. Source: the Python SDK 0.38.0. */
const substitutes: ReadonlyArray<readonly [RegExp, string]> = [
  [/^meta-llama\/Llama-3/, "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"]
]

/** The id that the service names, without a suffix behind a colon; else one derived from the model's name. */
const tokenizerIdOf = (info: ModelInfo): string | undefined => {
  const told = info.modelData?.tokenizerId?.split(":")[0]
  if (told !== undefined && told !== "") return told
  const name = info.modelData?.modelName ?? info.modelName
  const substitute = substitutes.find(([pattern]) => pattern.test(name ?? ""))
  if (substitute !== undefined) return substitute[1]
  // A third part names a variant of the model, which has the tokenizer of the others.
  return /^[^/]+\/[^/]+\/[^/]+$/.test(name ?? "") ? name!.split("/").slice(0, 2).join("/") : name
}

type Files = Effect.Effect.Success<ReturnType<typeof readFolder>>

/** The files of a model's tokenizer: from a folder, from the cache of the Hugging Face libraries, or from their Hub. */
export const findModel = (
  info: ModelInfo
): Effect.Effect<Files, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const id = tokenizerIdOf(info)
    if (id === undefined || id === "") {
      return yield* new TokenizerError({
        reason: "FolderMissing",
        path: "(no name)",
        description: "the server named neither the model nor its tokenizer. Use layerFolder with the model's folder."
      })
    }
    const files = yield* FileSystem.FileSystem
    const has = (folder: string) => Effect.orElseSucceed(files.exists(folder), () => false)
    if (yield* has(id)) return yield* readFolder(id)
    const cached = yield* cachedFolder(id)
    if (Option.isSome(cached)) return yield* readFolder(cached.value)
    const nowhere = (otherwise: string) =>
      new TokenizerError({
        reason: "FolderMissing",
        path: id,
        description: "is neither a folder nor in the cache of the Hugging Face libraries. Download it there "
          + `(huggingface-cli download ${id} tokenizer.json tokenizer_config.json), or ${otherwise}.`
      })
    if (yield* HubSettings.isOffline) return yield* nowhere("let it be fetched: HF_HUB_OFFLINE forbids it")
    const client = yield* Effect.serviceOption(HttpClient.HttpClient)
    if (Option.isNone(client)) return yield* nowhere("provide an HttpClient to fetch it")
    return yield* download(client.value, yield* HubSettings.endpoint, yield* HubSettings.token, id)
  })

/** Where the Hugging Face libraries keep the newest version that they have loaded. */
const cachedFolder = (
  id: string
): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const cache = yield* HubSettings.cache
    if (Option.isNone(cache)) return Option.none()
    const model = path.join(cache.value, `models--${id.replaceAll("/", "--")}`)
    const revision = yield* files.readFileString(path.join(model, "refs", "main"))
    const folder = path.join(model, "snapshots", revision.trim())
    return (yield* files.exists(path.join(folder, "tokenizer.json"))) ? Option.some(folder) : Option.none()
  }).pipe(Effect.orElseSucceed(() => Option.none()))

const download = (
  client: HttpClient.HttpClient,
  endpoint: string,
  token: Option.Option<Redacted.Redacted>,
  id: string
): Effect.Effect<Files, TokenizerError> => {
  const address = (name: string) => `${endpoint}/${id}/resolve/main/${name}`
  const fetch = (name: string) =>
    Effect.gen(function*() {
      const url = address(name)
      const failed = (description: string, cause?: unknown) =>
        new TokenizerError({ reason: "DownloadFailed", path: url, description, cause })
      const response = yield* Effect.mapError(
        get(client, url, token),
        // What it holds may be the token.
        () =>
          failed("cannot be reached. Check the network and HF_ENDPOINT, or use layerFolder with the model's folder.")
      )
      if (response.status === 404) return Option.none<unknown>()
      if (response.status !== 200) {
        return yield* failed(
          `was answered with ${response.status}. Some models are given only to those who have agreed to their terms: `
            + "set HF_TOKEN to a token of theirs, or download the folder, and use layerFolder."
        )
      }
      const value = yield* Effect.mapError(response.json, () => failed("is no JSON."))
      return Option.some(value)
    })
  return Effect.gen(function*() {
    const tokenizerJson = yield* fetch("tokenizer.json")
    if (Option.isNone(tokenizerJson)) {
      return yield* new TokenizerError({
        reason: "FileMissing",
        path: address("tokenizer.json"),
        description: "is not there. Use layerFolder with a folder that has one."
      })
    }
    const configJson = Option.getOrElse(yield* fetch("tokenizer_config.json"), () => ({}))
    return { path: address("tokenizer.json"), tokenizerJson: tokenizerJson.value, configJson }
  })
}

/** The token goes to the Hub alone, not to where its files are kept, and the ids of spans go nowhere. */
const get = (
  client: HttpClient.HttpClient,
  address: string,
  token: Option.Option<Redacted.Redacted>
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError> =>
  Effect.gen(function*() {
    let url = address
    for (let redirects = 0;; redirects++) {
      const mayKnow = Option.isSome(token) && new URL(url).origin === new URL(address).origin
      const headers = mayKnow ? { authorization: `Bearer ${Redacted.value(token.value)}` } : {}
      const response = yield* client.execute(HttpClientRequest.get(url, { headers }))
      const { location } = response.headers
      if (response.status < 300 || response.status > 399 || location === undefined || redirects === mostRedirects) {
        return response
      }
      if (!URL.canParse(location, url)) return response
      url = new URL(location, url).href
    }
  }).pipe(Effect.locally(HttpClient.currentTracerPropagation, false))

const mostRedirects = 5
