/**
 * What Node adds to the SDK, as one Layer.
 */
import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as NodeCommandExecutor from "@effect/platform-node/NodeCommandExecutor"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as CheckpointDownload from "effect-tinker/CheckpointDownload"
import type * as Credentials from "effect-tinker/Credentials"
import * as HttpRuntime from "effect-tinker/HttpRuntime"
import * as Layer from "effect/Layer"
import * as CredentialCommand from "./CredentialCommand.js"
import * as Hashing from "./Hashing.js"
import * as StoredCredentials from "./StoredCredentials.js"
import * as UndiciHttpClient from "./UndiciHttpClient.js"
import * as Zstd from "./Zstd.js"

/**
 * What {@link layer} provides.
 *
 * @since 0.1.0
 * @category models
 */
export type Provided =
  | HttpClient.HttpClient
  | Credentials.CredentialCommand
  | Credentials.StoredCredentials
  | CheckpointDownload.Hashing
  | HttpRuntime.Zstd

/**
 * Provides what {@link layer} does, with a proxy or a connect timeout given as a value. Two clients may have different ones.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerWith = (options: UndiciHttpClient.Options): Layer.Layer<Provided, InvalidInputError> =>
  Layer.mergeAll(
    UndiciHttpClient.layerWith(options),
    Zstd.layer,
    Hashing.layer,
    CredentialCommand.layer.pipe(Layer.provide(NodeCommandExecutor.layer), Layer.provide(NodeFileSystem.layer)),
    Layer.provide(StoredCredentials.layer, [NodeFileSystem.layer, NodePath.layer])
  )

/**
 * Provides the `HttpClient` that `Tinker.layer` needs, and with it what Node can do besides: run a credential command, read
 * stored keys, compress requests, compute hashes. Closing its scope closes the connections. Goes through the proxies of the
 * environment, see `Proxy`; `InvalidInputError` when one of them cannot be right.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Provided, InvalidInputError> = layerWith({})
