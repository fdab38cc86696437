/**
 * What Node adds to the SDK, as one Layer.
 */
import * as NodeCommandExecutor from "@effect/platform-node/NodeCommandExecutor"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as Credentials from "effect-tinker/Credentials"
import type * as TinkerHttpClient from "effect-tinker/TinkerHttpClient"
import * as Layer from "effect/Layer"
import * as CredentialCommand from "./CredentialCommand.js"
import * as StoredCredentials from "./StoredCredentials.js"
import * as UndiciHttpClient from "./UndiciHttpClient.js"
import * as Zstd from "./Zstd.js"

/**
 * Provides the `HttpClient` that `Tinker.layer` needs, and with it what Node can do besides: run a credential command, read
 * stored keys, compress requests. Closing its scope closes the connections.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<
  | HttpClient.HttpClient
  | Credentials.CredentialCommand
  | Credentials.StoredCredentials
  | TinkerHttpClient.Zstd
> = Layer.mergeAll(
  UndiciHttpClient.layer,
  Zstd.layer,
  CredentialCommand.layer.pipe(Layer.provide(NodeCommandExecutor.layer), Layer.provide(NodeFileSystem.layer)),
  Layer.provide(StoredCredentials.layer, [NodeFileSystem.layer, NodePath.layer])
)
