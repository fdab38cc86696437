import { assert, it } from "@effect/vitest"
import * as Routes from "../src/internal/http/routes.js"

it("finds each route by its own path, whatever its parameters are called", () => {
  for (const [name, route] of Routes.all) {
    const path = Routes.pathOf(route).replace(/:(\w+)/g, "the-$1")
    const found = Routes.find(route.method, path)
    assert.strictEqual(found?.name, name, path)
    const parameters = Array.from(Routes.pathOf(route).matchAll(/:(\w+)/g), ([, parameter]) => parameter!)
    assert.deepStrictEqual(
      found?.params,
      Object.fromEntries(parameters.map((parameter) => [parameter, `the-${parameter}`]))
    )
  }
})

it("reads the escapes of a parameter, which may be a slash, and finds for HEAD what GET has", () => {
  assert.deepStrictEqual(Routes.find("HEAD", "/api/v1/training_runs/a%3Atrain%2F0"), {
    name: "getTrainingRun",
    params: { id: "a:train/0" }
  })
  assert.strictEqual(Routes.find("HEAD", "/api/v1/healthz")?.name, "healthz")
  assert.isUndefined(Routes.find("HEAD", "/api/v1/asample"))
})

it("finds nothing for a parameter that is empty, too long or not escaped, and says which methods the path has", () => {
  for (const id of ["", "x".repeat(101), "%", "%e0%a4"]) {
    assert.isUndefined(Routes.find("GET", `/api/v1/training_runs/${id}`), id)
    assert.deepStrictEqual(Routes.methodsOf(`/api/v1/training_runs/${id}`), ["GET"])
  }
  assert.isDefined(Routes.find("GET", `/api/v1/training_runs/${"x".repeat(100)}`))
  assert.isUndefined(Routes.find("POST", "/api/v1/training_runs/a"))
  assert.isUndefined(Routes.find("GET", "/api/v1/training_runs/a/"))
  assert.isUndefined(Routes.find("GET", "/api/v1/none"))
  assert.deepStrictEqual(Routes.methodsOf("/api/v1/none"), [])
})
