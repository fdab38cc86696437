import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Endpoint from "../src/Endpoint.js"
import * as Endpoints from "../src/Endpoints.js"

const all: ReadonlyArray<readonly [string, Endpoint.Endpoint]> = Object.entries(Endpoints)

describe("the endpoints", () => {
  it("each have an operation, and a method and path, of their own", () => {
    for (const key of [({ operation }: Endpoint.Endpoint) => operation, placeOf]) {
      const keys = all.map(([, endpoint]) => key(endpoint))
      assert.deepStrictEqual(keys.filter((one, i) => keys.indexOf(one) !== i), [])
    }
  })

  it("are named as their operation, in camelCase", () => {
    for (const [name, { operation }] of all) {
      const words = operation === "client/dynamic_config" ? "dynamic_config" : operation.replace("/", "_")
      assert.strictEqual(name, words.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()))
    }
  })

  it("have queries whose encoded side is texts", () => {
    for (const [name, { query }] of all) {
      if (query === undefined) continue
      const encoded = Schema.encodeUnknownSync(query)(Schema.decodeUnknownSync(query)(example))
      for (const value of Object.values(encoded as object)) assert.isString(value, name)
    }
  })

  it("read a query as it was written", () => {
    const query = { limit: 7, offset: 21, accessScope: "accessible", projectId: "p" } as const
    const written = Schema.encodeSync(Endpoints.listTrainingRuns.query)(query)
    assert.deepStrictEqual(written, { limit: "7", offset: "21", access_scope: "accessible", project_id: "p" })
    assert.deepStrictEqual(Schema.decodeSync(Endpoints.listTrainingRuns.query)(written), query)
    assert.deepStrictEqual(Schema.decodeSync(Endpoints.listTrainingRuns.query)({}), {
      limit: 20,
      offset: 0,
      accessScope: "owned"
    })
  })
})

describe("the path of a request", () => {
  it("has the parameters in their places, as they are", () => {
    assert.strictEqual(
      Endpoint.pathOf(Endpoints.setCheckpointTtl, { id: "s:train:0", kind: "weights", name: "a b" }),
      "/api/v1/training_runs/s:train:0/checkpoints/weights/a b/ttl"
    )
    assert.strictEqual(Endpoint.pathOf(Endpoints.optimStep, {}), "/api/v1/optim_step")
  })

  it("is shorter by a parameter that is empty, as by the name of a checkpoint whose id has one part", () => {
    assert.strictEqual(
      Endpoint.pathOf(Endpoints.publishCheckpoint, { id: "r", kind: "0001", name: "" }),
      "/api/v1/training_runs/r/checkpoints/0001/publish"
    )
  })
})

const placeOf = ({ method, path }: Endpoint.Endpoint): string => `${method} ${path}`

/** Whatever a query may have. */
const example = {
  limit: "5",
  offset: "10",
  access_scope: "owned",
  project_id: "p",
  starting_on: "2026-07-13T09:00:00Z",
  ending_before: "2026-07-13T10:00:00Z",
  event_type: "all",
  day: "2026-07-13"
}
