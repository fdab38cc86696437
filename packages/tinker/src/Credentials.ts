/**
 * The credential of each request.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as TinkerConfig from "./TinkerConfig.js"
import { InvalidInputError } from "./TinkerError.js"

/**
 * @since 0.1.0
 * @category tags
 */
export class Credentials extends Context.Tag("effect-tinker/Credentials")<Credentials, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * What goes into `X-API-Key`; none for a server on this machine when no key was given. Fails before anything is sent
   * when the key is missing, or cannot be one of the hosted service's.
   */
  readonly current: Effect.Effect<Option.Option<Redacted.Redacted>, InvalidInputError>
}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, TinkerConfig.TinkerConfig> = Effect.map(
  TinkerConfig.TinkerConfig,
  (config) => Credentials.of({ current: Effect.suspend(() => check(config)) })
)

/**
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<Credentials, never, TinkerConfig.TinkerConfig> = Layer.effect(Credentials, make)

const check = (config: TinkerConfig.Service): Effect.Effect<Option.Option<Redacted.Redacted>, InvalidInputError> => {
  const wrong = (description: string) =>
    Effect.fail(new InvalidInputError({ operation: "Credentials", field: "apiKey", description }))
  if (Option.isNone(config.apiKey)) {
    return isLoopback(config.baseUrl)
      ? Effect.succeed(config.apiKey)
      : wrong("there is no API key. Set TINKER_API_KEY, or pass the option apiKey.")
  }
  const key = Redacted.value(config.apiKey.value)
  return config.baseUrl === TinkerConfig.hosted && !/^(tml-|eyJ)/.test(key)
    ? wrong("the API key is not one of Tinker's, which start with tml-. Check TINKER_API_KEY.")
    : Effect.succeed(config.apiKey)
}

const isLoopback = (url: string): boolean => /^https?:\/\/(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?(\/|$)/i.test(url)
