import { HttpClient } from "@effect/platform"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Routes from "../src/internal/http/routes.js"
import * as Wire from "./wire.js"

interface Operation {
  readonly operationId: string
  readonly parameters: ReadonlyArray<{ readonly name: string; readonly in: string; readonly required: boolean }>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }
  readonly responses: Readonly<Record<string, unknown>>
}

interface Schema {
  readonly properties?: Readonly<Record<string, unknown>>
  readonly required?: ReadonlyArray<string>
}

interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const description = Effect.flatMap(
  HttpClient.get("http://tinker/openapi.json"),
  (reply) => Effect.map(reply.json, (json) => json as unknown as Document)
)

/** Every value inside, with the keys that lead to it. */
const visit = (value: unknown, see: (key: string, value: unknown) => void): void => {
  if (typeof value !== "object" || value === null) return
  for (const [key, inner] of Object.entries(value)) {
    see(key, inner)
    visit(inner, see)
  }
}

const at = (document: unknown, reference: string): unknown =>
  reference.slice(2).split("/").reduce<unknown>(
    (value, part) =>
      (value as Record<string, unknown> | undefined)?.[
        decodeURIComponent(part).replaceAll("~1", "/").replaceAll("~0", "~")
      ],
    document
  )

it.effect("describes every route, without a key, once, with its parameters and answers", () =>
  Effect.gen(function*() {
    const { info, openapi, paths } = yield* description
    assert.match(openapi, /^3\.1\./)
    assert.isString(info.title)
    const described: Array<string> = []
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { operationId, parameters, responses }] of Object.entries(operations)) {
        described.push(`${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ":$1")} ${operationId}`)
        const inPath = parameters.filter((one) => one.in === "path" && one.required).map(({ name }) => name)
        assert.deepStrictEqual(inPath, Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name!))
        assert.isTrue(Object.keys(responses).every((status) => /^([1-5]\d\d|4XX)$/.test(status)))
        assert.isAbove(Object.keys(responses).length, 1)
      }
    }
    const all = Routes.all.map(([name, route]) => `${route.method} ${Routes.pathOf(route)} ${name}`)
    assert.deepStrictEqual(described.toSorted(), all.toSorted())
  }).pipe(Effect.provide(Wire.server({ protocol: { apiKeys: ["tml-right"] } }))))

it.effect("refers to nothing that is not there, and leaves no schema empty", () =>
  Effect.gen(function*() {
    const document = yield* description
    let references = 0
    visit(document, (key, value) => {
      if (key === "$ref") {
        references += 1
        assert.isDefined(at(document, String(value)), String(value))
      }
      if (key === "schema") assert.isAbove(Object.keys(value as object).length, 0)
    })
    assert.isAbove(references, 50)
  }).pipe(Effect.provide(Wire.server())))

it.effect("has the names of the wire", () =>
  Effect.gen(function*() {
    const { paths } = yield* description
    const post = (path: string) => paths[`/api/v1/${path}`]!.post!
    const sample = post("asample").requestBody!.content["application/json"]!.schema
    assert.containsAllKeys(sample.properties, ["sampling_session_id", "seq_id", "prompt", "sampling_params"])
    assert.includeMembers(Array.from(sample.required ?? []), ["prompt", "sampling_params", "seq_id"])
    assert.hasAllKeys(post("forward_backward").requestBody!.content, ["application/json", "application/x-protobuf"])
    assert.isUndefined(paths["/api/v1/healthz"]?.get?.requestBody)
    const query = paths["/api/v1/billing/usage/events"]!.get!.parameters
    assert.deepStrictEqual(query.map(({ name, required }) => [name, required]), [
      ["starting_on", true],
      ["ending_before", true]
    ])
  }).pipe(Effect.provide(Wire.server())))
