/**
 * What an endpoint of the protocol is, as data: where it is, who may call it, and what goes in and out.
 */
import type * as Schema from "effect/Schema"

/**
 * An endpoint behind `/api/v1`. Its schemas are of JSON; what else it may read and write is in `protobuf`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Endpoint {
  /** Its name in errors, logs, spans and metrics. */
  readonly operation: string
  readonly method: Method
  /** What follows `/api/v1`, with `:name` for each part that is a parameter. */
  readonly path: `/${string}`
  /** Default `session`. */
  readonly access?: Access
  /** What it is for, so that a client can keep kinds apart. Default `train`. */
  readonly traffic?: Traffic
  /** The schema of its query, whose encoded side is texts. */
  readonly query?: Schema.Schema.AnyNoContext
  /** The schema of its JSON body. An endpoint without one reads no body. */
  readonly body?: Schema.Schema.AnyNoContext
  /** What may be protobuf instead of JSON. */
  readonly protobuf?: "body" | "answer"
  /** The schema of its JSON answer, or what it answers instead. Default: an object, which says nothing. */
  readonly answer?: Schema.Schema.AnyNoContext | "none" | "redirect"
  /** The schema of the JSON that a request for it comes to, where that is asked for later. */
  readonly result?: Schema.Schema.AnyNoContext
}

/**
 * @since 0.1.0
 * @category models
 */
export type Method = "GET" | "POST" | "PUT" | "DELETE"

/**
 * Who may call: anybody, holders of an API key, or also of what a key was exchanged for.
 *
 * @since 0.1.0
 * @category models
 */
export type Access = "open" | "key" | "session"

/**
 * Kinds of requests: steps of a run, samples, questions for results, what keeps a session, and reports.
 *
 * @since 0.1.0
 * @category models
 */
export type Traffic = "train" | "sample" | "poll" | "session" | "telemetry"

/**
 * What an endpoint answers in JSON.
 *
 * @since 0.1.0
 * @category type level
 */
export type Answer<E> = E extends { readonly answer: Schema.Schema<infer A, infer _I> } ? A
  : Readonly<Record<string, never>>

/**
 * What a request for an endpoint comes to, where that is asked for later.
 *
 * @since 0.1.0
 * @category type level
 */
export type Result<E> = E extends { readonly result: Schema.Schema<infer A, infer _I> } ? A : never

/**
 * The names of the parameters of a path.
 *
 * @since 0.1.0
 * @category type level
 */
export type Parameter<Path extends string> = Path extends `${string}/:${infer Rest}`
  ? Rest extends `${infer Name}/${infer Tail}` ? Name | Parameter<`/${Tail}`> : Rest
  : never

/**
 * The path of a request, from `/api/v1` on. Parameters stand in it as they are, since servers want the colons of ids; one that is
 * empty is left out with the slash before it.
 *
 * @since 0.1.0
 * @category utils
 */
export const pathOf = <const Path extends `/${string}`>(
  { path }: { readonly path: Path },
  parameters: Readonly<Record<Parameter<Path>, string>>
): `/${string}` =>
  `/api/v1${
    path.replace(/\/:(\w+)/g, (_, name: string) => {
      const value = (parameters as Readonly<Record<string, string>>)[name] ?? ""
      return value === "" ? "" : `/${value}`
    })
  }`
