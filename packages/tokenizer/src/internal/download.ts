import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { TokenizerError } from "../TokenizerError.js"
import { configFile, type Files, type TokenizerFileName, tokenizerFiles } from "./files.js"
import type { TokenizerId } from "./tokenizerId.js"

/** Where the Hub is, and who asks. */
export interface Hub {
  readonly client: HttpClient.HttpClient
  readonly endpoint: string
  readonly token: Option.Option<Redacted.Redacted>
}

export interface Downloaded {
  readonly files: Files
  /** The commit that they are of, where the Hub says so. */
  readonly commit: string | undefined
}

/** The files of a tokenizer, whole and of one commit. */
export const download = (hub: Hub, { repository, revision }: TokenizerId): Effect.Effect<Downloaded, TokenizerError> =>
  Effect.gen(function*() {
    const from = revision ?? "main"
    // Where a commit is pinned, the tokenizer is code, and the file that the code reads is the other.
    const names: ReadonlyArray<TokenizerFileName> = revision === undefined ? tokenizerFiles : ["tiktoken.model"]
    for (const name of names) {
      const found = yield* fetch(hub, repository, from, name)
      if (found === undefined) continue
      const commit = revision ?? found.commit
      const config = yield* fetch(hub, repository, commit ?? from, configFile)
      const configPath = config?.url ?? addressOf(hub, repository, from, configFile)
      return { commit, files: { name, path: found.url, tokenizer: found.text, config: config?.text, configPath } }
    }
    return yield* new TokenizerError({
      reason: "FileMissing",
      path: addressOf(hub, repository, from, names[0]!),
      description: "is not there. Use layerFolder with a folder that has one."
    })
  })

const addressOf = ({ endpoint }: Hub, repository: string, revision: string, name: string): string =>
  `${endpoint}/${repository}/resolve/${revision}/${name}`

const downloadFailed = (path: string, description: string) =>
  new TokenizerError({ reason: "DownloadFailed", path, description })

interface Fetched {
  readonly url: string
  readonly text: string
  readonly commit: string | undefined
}

/** A file of the Hub, none where it has none of this name. */
const fetch = (
  hub: Hub,
  repository: string,
  revision: string,
  name: string
): Effect.Effect<Fetched | undefined, TokenizerError> =>
  Effect.gen(function*() {
    const url = addressOf(hub, repository, revision, name)
    // What a failure of the client holds may be the token.
    const { commit, response, size } = yield* Effect.mapError(get(hub, url), () =>
      downloadFailed(
        url,
        "cannot be reached. Check the network and HF_ENDPOINT, or use layerFolder with the model's folder."
      ))
    if (response.status === 404) {
      return undefined
    }
    if (response.status !== 200) {
      return yield* downloadFailed(
        url,
        `was answered with ${response.status}. Some models are given only to those who have agreed to their terms: `
          + "set HF_TOKEN to a token of theirs, or download the folder, and use layerFolder."
      )
    }
    const body = yield* Effect.mapError(response.arrayBuffer, () => downloadFailed(url, "was cut short. Try again."))
    if (size !== undefined && size !== body.byteLength) {
      return yield* downloadFailed(url, `was cut short after ${body.byteLength} of ${size} bytes. Try again.`)
    }
    return { url, text: new TextDecoder().decode(body), commit }
  })

interface Answer {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly commit: string | undefined
  /** The bytes of the file, where one of the answers says it. */
  readonly size: number | undefined
}

/** The token goes to the Hub alone, not to where its files are kept, and the ids of spans go nowhere. */
const get = ({ client, token }: Hub, address: string): Effect.Effect<Answer, HttpClientError.HttpClientError> =>
  Effect.gen(function*() {
    let url = address
    let commit: string | undefined
    let linked: string | undefined
    for (let redirects = 0;; redirects++) {
      const isHub = new URL(url).origin === new URL(address).origin
      const headers = isHub && Option.isSome(token) ? { authorization: `Bearer ${Redacted.value(token.value)}` } : {}
      const response = yield* client.execute(HttpClientRequest.get(url, { headers }))
      if (isHub) {
        commit ??= response.headers["x-repo-commit"]
        linked ??= response.headers["x-linked-size"]
      }
      const { location } = response.headers
      const isLast = response.status < 300 || response.status > 399 || location === undefined
        || redirects === mostRedirects || !URL.canParse(location, url)
      if (isLast) {
        // A body that is packed is of another length.
        const own = response.headers["content-encoding"] === undefined ? response.headers["content-length"] : undefined
        const size = Number(linked ?? own)
        return {
          response,
          commit: isCommit(commit) ? commit : undefined,
          size: Number.isInteger(size) ? size : undefined
        }
      }
      url = new URL(location, url).href
    }
  }).pipe(Effect.locally(HttpClient.currentTracerPropagation, false))

const mostRedirects = 5

/** It becomes the name of a folder. */
const isCommit = (text: string | undefined): boolean => text !== undefined && /^[0-9a-f]{40}$/.test(text)
