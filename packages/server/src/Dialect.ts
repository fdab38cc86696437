/**
 * How other servers of the protocol differ from this one: what they lack, and what they say differently. A test gives one to
 * its server, to see that a program works there too. Whole servers are `SkyRLDialect` and `OpenRLDialect`; here are the
 * single differences.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/**
 * A request, as far as dialects look into it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Call {
  readonly method: string
  /** The path behind `/api/v1/`, without its query; one that begins elsewhere begins with `/`. */
  readonly path: string
  /** The query with its question mark; empty when there is none. */
  readonly query: string
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The body as it came. Where a dialect changes `json`, that is sent instead. */
  readonly body: Uint8Array
  /**
   * Its JSON. Of a pass in protobuf `model_id`, `seq_id` and `forward_only`, of which the first two can be changed;
   * `undefined` for other bodies.
   */
  readonly json: unknown
}

/**
 * An answer with a JSON body; a text is sent as it is, bytes as protobuf, `undefined` as no body.
 *
 * @since 0.1.0
 * @category models
 */
export interface Answer {
  readonly status: number
  readonly body: unknown
  /** The headers beside those that describe the body. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * What gives an answer to a call: this server, or a dialect of it.
 *
 * @since 0.1.0
 * @category models
 */
export type Ask = (call: Call) => Effect.Effect<Answer>

/**
 * Changes what the server hears and says. Answers in protobuf pass unchanged.
 *
 * @since 0.1.0
 * @category models
 */
export interface Dialect {
  /** The request as the server shall see it, or the answer that it gets instead. */
  readonly mapCall?: ((call: Call) => Call | Answer) | undefined
  readonly mapAnswer?: ((answer: Answer, call: Call) => Answer) | undefined
  /** Answers in place of the server, which it may ask anything, as often as it likes. Then `mapCall` and `mapAnswer` do nothing. */
  readonly answer?: ((call: Call, ask: Ask) => Effect.Effect<Answer>) | undefined
}

/**
 * @since 0.1.0
 * @category guards
 */
export const isAnswer = (value: Call | Answer): value is Answer => Predicate.hasProperty(value, "status")

/**
 * The dialect before what it is a dialect of.
 *
 * @since 0.1.0
 * @category combinators
 */
export const before = ({ answer, mapCall, mapAnswer }: Dialect, ask: Ask): Ask => {
  if (answer !== undefined) return (call) => answer(call, ask)
  return (call) =>
    Effect.suspend(() => {
      const heard = mapCall === undefined ? call : mapCall(call)
      if (isAnswer(heard)) return Effect.succeed(heard)
      return mapAnswer === undefined
        ? ask(heard)
        : Effect.map(ask(heard), (said) => isPlain(said) ? mapAnswer(said, call) : said)
    })
}

/** JSON, text or nothing. */
const isPlain = ({ body }: Answer): boolean =>
  !Predicate.isObject(body) || Array.isArray(body) || Object.getPrototypeOf(body) === Object.prototype

/**
 * All of them: each hears what the one before it lets through, and says what the one behind it has said.
 *
 * @since 0.1.0
 * @category combinators
 */
export const all = (...dialects: ReadonlyArray<Dialect>): Dialect => ({
  answer: (call, ask) => dialects.reduceRight((behind, dialect) => before(dialect, behind), ask)(call)
})

/**
 * The endpoints are not there. A path ending in `/` stands for all below it.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutEndpoints = (paths: ReadonlyArray<string>, status: 404 | 405 = 404): Dialect => ({
  mapCall: (call) =>
    paths.some((path) => path.endsWith("/") ? call.path.startsWith(path) : call.path === path)
      ? { status, body: { detail: status === 404 ? "Not Found" : "Method Not Allowed" } }
      : call
})

/**
 * Accepted requests are answered with another status.
 *
 * @since 0.1.0
 * @category constructors
 */
export const acceptedWith = (status: 201 | 202): Dialect => ({
  mapAnswer: (answer, call) => isAccepted(answer, call) ? { ...answer, status } : answer
})

/**
 * Request ids of another form, e.g. numbers written as text.
 *
 * @since 0.1.0
 * @category constructors
 */
export const requestIds = (form: {
  readonly encode: (id: string) => string
  readonly decode: (id: string) => string
}): Dialect => ({
  mapCall: (call) => edited(call, "request_id", form.decode),
  mapAnswer: (answer) => ({ ...answer, body: withField(answer.body, "request_id", form.encode) })
})

/**
 * @since 0.1.0
 * @category constructors
 */
export const integerRequestIds: Dialect = requestIds({
  encode: (id) => BigInt(`0x1${hex(id)}`).toString(),
  decode: (id) => unhex(BigInt(id).toString(16).slice(1))
})

const hex = (text: string) =>
  Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("")

const unhex = (digits: string) =>
  new TextDecoder().decode(Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16)))

/**
 * Submitted samples are answered without the ids of their sequences.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutSequenceIds: Dialect = {
  mapAnswer: (answer, call) => call.path === "asample" ? without(answer, "sample_sequence_ids") : answer
}

/**
 * What has failed is told by the status of the answer, in the shape of {@link errorBodies}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const failuresAs = (status: 400 | 422): Dialect => ({
  mapAnswer: (answer, call) =>
    call.path === "retrieve_future" && Predicate.hasProperty(answer.body, "error")
      ? { status, body: { detail: answer.body.error } }
      : answer
})

/**
 * Categories of failures in other letters.
 *
 * @since 0.1.0
 * @category constructors
 */
export const categories = (spelling: (category: string) => string): Dialect => ({
  mapAnswer: (answer) => ({ ...answer, body: withField(answer.body, "category", spelling) })
})

/**
 * "Not yet" is 408, with the body that says so or without one.
 *
 * @since 0.1.0
 * @category constructors
 */
export const notYetAsTimeout = (options: { readonly body: boolean }): Dialect => ({
  mapAnswer: (answer) =>
    Predicate.hasProperty(answer.body, "type") && answer.body.type === "try_again"
      ? { status: 408, body: options.body ? answer.body : undefined }
      : answer
})

/**
 * Results in JSON, whatever a client would rather have.
 *
 * @since 0.1.0
 * @category constructors
 */
export const jsonResults: Dialect = {
  mapCall: (call) => ({ ...call, headers: { ...call.headers, accept: "application/json" } })
}

/**
 * Neither takes nor gives protobuf, as servers of the protocol's beginning. What is sent in it is refused, by some as if the
 * server had broken.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutProtobuf = (
  refusal: Answer = { status: 415, body: { detail: "application/json is taken" } }
): Dialect =>
  all({ mapCall: (call) => call.headers["content-type"]?.includes("protobuf") === true ? refusal : call }, jsonResults)

/**
 * Weights are loaded into a model that exists; a request to make one by loading is refused.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutCreateByLoading = (status: 400 | 422 = 400): Dialect => ({
  mapCall: (call) =>
    call.path === "load_weights" && !Predicate.hasProperty(call.json, "model_id")
      ? { status, body: { detail: "model_id and seq_id are needed" } }
      : call,
  mapAnswer: (answer, call) =>
    call.path === "client/config"
      ? { ...answer, body: withField(answer.body, "create_model_via_load_weights", () => false) }
      : answer
})

/**
 * Refusals in another shape: `error` says `{"error": …}`, `issues` a list of places, `request_failed` names the type
 * of failed requests, `text` says it without JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const errorBodies = (shape: "error" | "issues" | "request_failed" | "text"): Dialect => ({
  mapAnswer: (answer) => {
    if (answer.status < 400 || !Predicate.hasProperty(answer.body, "detail")) return answer
    const { detail } = answer.body
    const text = typeof detail === "string" ? detail : JSON.stringify(detail)
    const bodies = {
      error: { error: text },
      issues: { detail: [{ type: "value_error", loc: ["body"], msg: text }] },
      request_failed: { type: "RequestFailedResponse", error_message: text },
      text
    }
    return { ...answer, body: bodies[shape] }
  }
})

/**
 * Results with other metrics, `null` for instance. Shows in results as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const metrics = (f: (metrics: unknown) => unknown): Dialect => ({
  mapAnswer: (answer, call) =>
    call.path === "retrieve_future" ? { ...answer, body: withField(answer.body, "metrics", f) } : answer
})

/**
 * Log-probabilities of a prompt begin with its second token. Shows in results as JSON.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutFirstPromptLogprob: Dialect = {
  mapAnswer: (answer) => ({
    ...answer,
    body: withField(
      answer.body,
      "prompt_logprobs",
      (logprobs) => Array.isArray(logprobs) ? logprobs.slice(1) : logprobs
    )
  })
}

/**
 * Fields that answers lack: those of an endpoint, of a request's result (`retrieve_future`), or of the items of a list.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutFields = (path: string, fields: ReadonlyArray<string>): Dialect => ({
  mapAnswer: (answer, call) =>
    call.path === path || (path.endsWith("/") && call.path.startsWith(path))
      ? { ...answer, body: deepWithout(answer.body, new Set(fields)) }
      : answer
})

/**
 * Times say nothing of their zone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutZones: Dialect = {
  mapAnswer: (answer) => ({
    ...answer,
    body: mapTexts(answer.body, (text) => isoTime.test(text) ? text.slice(0, -1) : text)
  })
}

const isoTime = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/

/**
 * Weights to sample from are named in another way, e.g. as a folder.
 *
 * @since 0.1.0
 * @category constructors
 */
export const samplerPaths = (form: {
  readonly encode: (path: string) => string
  readonly decode: (path: string) => string
}): Dialect => ({
  mapCall: (call) => edited(call, "model_path", form.decode),
  mapAnswer: (answer) => {
    const body = withField(answer.body, "model_path", form.encode)
    return {
      ...answer,
      body: Predicate.hasProperty(body, "path") && String(body.path).includes("/sampler_weights/")
        ? withField(body, "path", form.encode)
        : body
    }
  }
})

/**
 * A dialect that reads the first part of a prompt alone.
 *
 * @since 0.1.0
 * @category constructors
 */
export const firstChunkOnly: Dialect = {
  mapCall: (call) =>
    call.path === "asample"
      ? edited(call, "prompt", (prompt) =>
        Predicate.hasProperty(prompt, "chunks") && Array.isArray(prompt.chunks)
          ? { ...prompt, chunks: prompt.chunks.slice(0, 1) }
          : prompt)
      : call
}

/**
 * Numbers that are not finite are `null`, as JSON has no others. Here every log-probability of an answer is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const nullLogprobs: Dialect = {
  mapAnswer: (answer) =>
    Predicate.hasProperty(answer.body, "sequences") && Array.isArray(answer.body.sequences)
      ? {
        ...answer,
        body: {
          ...answer.body,
          sequences: answer.body.sequences.map((sequence: unknown) =>
            withField(sequence, "logprobs", (logprobs) => Array.isArray(logprobs) ? logprobs.map(() => null) : logprobs)
          )
        }
      }
      : answer
}

/**
 * Requests that the server does not know are never done rather than unknown.
 *
 * @since 0.1.0
 * @category constructors
 */
export const unknownNeverDone: Dialect = {
  mapAnswer: (answer, call) =>
    call.path === "retrieve_future" && answer.status === 404
      ? { status: 200, body: { type: "try_again", queue_state: "active" } }
      : answer
}

const isAccepted = (answer: Answer, call: Call): boolean =>
  answer.status === 200 && call.method === "POST" && !call.path.startsWith("retrieve_future")
  && Predicate.hasProperty(answer.body, "request_id")

const withField = <A>(value: unknown, name: string, f: (value: A) => unknown): unknown =>
  Predicate.hasProperty(value, name) && value[name] !== null && value[name] !== undefined
    ? { ...value, [name]: f(value[name] as A) }
    : value

const edited = <A>(call: Call, name: string, f: (value: A) => unknown): Call =>
  Predicate.hasProperty(call.json, name) ? { ...call, json: withField(call.json, name, f) } : call

const without = (answer: Answer, name: string): Answer => ({
  ...answer,
  body: deepWithout(answer.body, new Set([name]))
})

const deepWithout = (value: unknown, names: ReadonlySet<string>): unknown =>
  mapObjects(value, (entries) => entries.filter(([name]) => !names.has(name)), (leaf) => leaf)

const mapTexts = (value: unknown, f: (text: string) => string): unknown =>
  mapObjects(value, (entries) => entries, (leaf) => typeof leaf === "string" ? f(leaf) : leaf)

const mapObjects = (
  value: unknown,
  f: (entries: ReadonlyArray<readonly [string, unknown]>) => ReadonlyArray<readonly [string, unknown]>,
  leaf: (value: unknown) => unknown
): unknown => {
  if (Array.isArray(value)) return value.map((item) => mapObjects(item, f, leaf))
  if (!Predicate.isRecord(value)) return leaf(value)
  return Object.fromEntries(f(Object.entries(value)).map(([name, item]) => [name, mapObjects(item, f, leaf)]))
}
