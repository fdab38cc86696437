// The SDK for a browser: bundles it, fails on whatever only Node has, and runs the bundle where there is nothing of Node.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import vm from "node:vm"

const root = fileURLToPath(new URL("..", import.meta.url))

const program = `
import * as Tinker from "./packages/tinker/src/index.js"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const { Datum, SamplingApi, SamplingParams, ModelInput, ServiceClient, TinkerError } = Tinker

const asked = []
const answers = {
  "client/config": {},
  "client/dynamic_config": {},
  get_server_capabilities: { supported_models: [{ model_name: "small", max_context_length: 8 }] }
}
const Client = HttpClient.make((request, url) => {
  const path = url.pathname.split("/api/v1/")[1]
  asked.push(path + " " + request.headers["x-api-key"] + " " + request.headers["x-stainless-runtime"])
  const body = JSON.stringify(answers[path] ?? { detail: "no such path" })
  return Effect.succeed(HttpClientResponse.fromWeb(request, new Response(body, { status: answers[path] ? 200 : 404 })))
})

const capabilities = Effect.flatMap(ServiceClient.ServiceClient, (service) => service.getServerCapabilities).pipe(
  Effect.provide(
    Tinker.Tinker.layer({ apiKey: Redacted.make("tml-key") }).pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, Client))
    )
  )
)

globalThis.result = Effect.runPromise(capabilities).then((capabilities) => ({
  asked,
  capabilities,
  datum: Datum.fromTokens(Int32Array.of(1, 2, 3), new Float32Array(3).fill(1)).modelInput.chunks.length,
  tokens: ModelInput.textLength(ModelInput.fromTokens([1, 2, 3])),
  params: SamplingParams.make({ maxTokens: 4 }).maxTokens,
  request: JSON.parse(new TextDecoder().decode(
    SamplingApi.encodeSampleRequest({
      numSamples: 2,
      prompt: ModelInput.fromTokens([1, 2, 3]),
      samplingParams: SamplingParams.make({ maxTokens: 4 }),
      seqId: 12345678901234567890n,
      type: "sample"
    }).bytes
  )).prompt.chunks[0].tokens,
  response: SamplingApi.encodeSampleResponse({
    sequences: [],
    promptLogprobs: Float32Array.of(-1, -2),
    topkPromptLogprobs: undefined,
    promptCacheHitTokens: 0
  }).length,
  reason: TinkerError.reasonOfStatus(402)
}))
`

const { metafile, outputFiles: [bundle] } = await build({
  stdin: { contents: program, resolveDir: root, loader: "js" },
  bundle: true,
  platform: "browser",
  format: "iife",
  target: "es2022",
  minify: true,
  write: false,
  metafile: true,
  logLevel: "error"
})

// For a browser esbuild leaves some of Node's modules empty rather than to fail.
const foreign = Object.keys(metafile.inputs).filter((input) => /^\(disabled\)|^node:/.test(input))
for (const { imports } of Object.values(metafile.outputs)) foreign.push(...imports.map(({ path }) => path))
if (foreign.length > 0) throw new Error(`the bundle needs what a browser lacks: ${foreign.join(", ")}`)

// What a page has of what the SDK and Effect use, and nothing else: no process, no Buffer, no require.
const page = vm.createContext({
  AbortController,
  AbortSignal,
  Headers,
  Request,
  Response,
  TextDecoder,
  TextEncoder,
  URL,
  URLSearchParams,
  atob,
  btoa,
  clearInterval,
  clearTimeout,
  console,
  crypto,
  performance,
  queueMicrotask,
  setInterval,
  setTimeout
})
new vm.Script(bundle.text, { filename: "bundle.js" }).runInContext(page)
// Objects of another context have prototypes of their own, which comparisons would tell apart.
const result = JSON.parse(JSON.stringify(await page.result))

const expected = {
  asked: ["client/config", "client/dynamic_config", "get_server_capabilities"].map((path) => `${path} tml-key unknown`),
  capabilities: { supportedModels: [{ modelName: "small", maxContextLength: 8 }] },
  request: [1, 2, 3],
  reason: "Billing"
}
for (const [name, value] of Object.entries(expected)) {
  if (JSON.stringify(result[name]) !== JSON.stringify(value)) {
    throw new Error(`in a browser ${name} is ${JSON.stringify(result[name])}`)
  }
}
for (const name of ["datum", "tokens", "params", "response"]) {
  if (!(result[name] > 0)) throw new Error(`in a browser ${name} is ${JSON.stringify(result[name])}`)
}
console.log(`core in a browser: ${Math.round(bundle.contents.length / 1024)} KiB minified, no module of Node`)
