import type { ModelInfo } from "@effect-tinker/protocol/Tokenizers"
import * as FileSystem from "@effect/platform/FileSystem"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Service } from "../Tokenizer.js"
import { TokenizerError } from "../TokenizerError.js"
import { download } from "./download.js"
import type { Files } from "./files.js"
import * as HubCache from "./hubCache.js"
import * as HubSettings from "./hubSettings.js"
import { type Load, Loader } from "./loading.js"
import { readFolder } from "./readFolder.js"
import { isPrivate, isRepository, nameOf, repositoryOf } from "./tokenizerId.js"

type Make = (files: Files) => Effect.Effect<Service, TokenizerError>

/**
 * The tokenizer of a model: what is registered for its name, or that of a folder, of the cache of the Hugging Face libraries, or of
 * their Hub. What came from the Hub or was registered is kept, so that it is loaded once.
 */
export const findModel = (
  info: ModelInfo,
  overrides: Readonly<Record<string, Load>>,
  make: Make
): Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const name = nameOf(info)
    if (name === undefined) {
      return yield* new TokenizerError({
        reason: "FolderMissing",
        path: "(no name)",
        description: "the server named neither the model nor its tokenizer. Use layerFolder with the model's folder."
      })
    }
    const { load } = yield* Loader
    const registered = Object.hasOwn(overrides, name) ? overrides[name] : undefined
    if (registered !== undefined) return yield* load(registered, name, registered)
    const files = yield* FileSystem.FileSystem
    const isFolder = yield* Effect.orElseSucceed(files.exists(name), () => false)
    if (isFolder) return yield* Effect.flatMap(readFolder(name), make)
    const client = yield* Effect.serviceOption(HttpClient.HttpClient)
    const settings = [
      name,
      yield* HubSettings.endpoint,
      Option.getOrUndefined(yield* HubSettings.cache),
      yield* HubSettings.isOffline
    ]
    return yield* load(
      Option.getOrElse(client, () => files),
      JSON.stringify(settings),
      fromHub(name, client, make)
    )
  })

const fromHub = (
  name: string,
  client: Option.Option<HttpClient.HttpClient>,
  make: Make
): Effect.Effect<Service, TokenizerError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const id = repositoryOf(name)
    if (!isRepository(name)) {
      return yield* new TokenizerError({
        reason: "FolderMissing",
        path: name,
        description: "is neither a folder nor a name that the Hub could have. Use layerFolder with the model's folder."
      })
    }
    const cached = yield* HubCache.find(id)
    if (Option.isSome(cached)) return yield* Effect.flatMap(readFolder(cached.value), make)
    if (isPrivate(name)) {
      return yield* new TokenizerError({
        reason: "Unsupported",
        path: name,
        description:
          "is a tokenizer of Thinking Machines, which the Hub does not have: it is in the Python package tml-renderers. "
          + "Register what loads it under this name with Tokenizer.Overrides, or use layerFolder with a folder that has it."
      })
    }
    const { repository } = id
    const nowhere = (otherwise: string) =>
      new TokenizerError({
        reason: "FolderMissing",
        path: name,
        description: "is neither a folder nor in the cache of the Hugging Face libraries. Download it there "
          + `(huggingface-cli download ${repository}${id.revision === undefined ? "" : ` --revision ${id.revision}`} `
          + `${
            id.revision === undefined ? "tokenizer.json" : "tiktoken.model"
          } tokenizer_config.json), or ${otherwise}.`
      })
    if (yield* HubSettings.isOffline) return yield* nowhere("let it be fetched: HF_HUB_OFFLINE forbids it")
    if (Option.isNone(client)) return yield* nowhere("provide an HttpClient to fetch it")
    const hub = { client: client.value, endpoint: yield* HubSettings.endpoint, token: yield* HubSettings.token }
    const downloaded = yield* download(hub, id)
    const tokenizer = yield* make(downloaded.files)
    yield* HubCache.keep(id, downloaded)
    return tokenizer
  })
