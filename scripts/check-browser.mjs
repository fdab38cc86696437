// The SDK as it is published, for a browser: bundles it, fails on whatever only Node has, runs the bundle where there is nothing of Node,
// and holds the size of a program that samples against a limit.
import { build } from "esbuild"
import { fileURLToPath } from "node:url"
import vm from "node:vm"

const root = fileURLToPath(new URL("..", import.meta.url))

const program = `
import * as Tinker from "./packages/tinker/dist/index.js"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"

const { Datum, SamplingMessages, SamplingParams, ModelInput, ServiceClient, TinkerError } = Tinker

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
    SamplingMessages.encodeSampleRequest({
      numSamples: 2,
      prompt: ModelInput.fromTokens([1, 2, 3]),
      samplingParams: SamplingParams.make({ maxTokens: 4 }),
      seqId: 12345678901234567890n,
      type: "sample"
    }).bytes
  )).prompt.chunks[0].tokens,
  response: SamplingMessages.encodeSampleResponse({
    sequences: [],
    promptLogprobs: Float32Array.of(-1, -2),
    topkPromptLogprobs: undefined,
    promptCacheHitTokens: 0
  }).length,
  reason: TinkerError.reasonOfStatus(402)
}))
`

/** Most bytes of a bundled and minified program that samples. */
const limit = 480_000

const kilobytes = ({ bytes, ours }) =>
  `${Math.round(bytes / 1000)} kB minified, of which ours ${Math.round(ours / 1000)}, the rest of Effect and others`

const bundled = async (contents) => {
  const { metafile, outputFiles: [{ text }] } = await build({
    stdin: { contents, resolveDir: root, loader: "js" },
    bundle: true,
    platform: "browser",
    alias: { "@effect-tinker/protocol": `${root}packages/protocol/dist` },
    format: "iife",
    target: "es2022",
    minify: true,
    write: false,
    metafile: true,
    logLevel: "error"
  })
  // For a browser esbuild leaves some of Node's modules empty rather than to fail.
  const foreign = Object.keys(metafile.inputs).filter((input) => /^\(disabled\)|^node:/.test(input))
  const [{ bytes, imports, inputs }] = Object.values(metafile.outputs)
  foreign.push(...imports.map(({ path }) => path))
  if (foreign.length > 0) throw new Error(`the bundle needs what a browser lacks: ${foreign.join(", ")}`)
  const ours = Object.entries(inputs).filter(([path]) => path.startsWith("packages/"))
  return { text, bytes, ours: ours.reduce((sum, [, { bytesInOutput }]) => sum + bytesInOutput, 0) }
}

const bundle = await bundled(program)

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
console.log(`all of the SDK, in a browser: ${kilobytes(bundle)}`)

/** A program that samples, over a client that is made like this. */
const sampling = (client) => `
import * as ModelInput from "./packages/tinker/dist/ModelInput.js"
import * as SamplingParams from "./packages/tinker/dist/SamplingParams.js"
import * as ServiceClient from "./packages/tinker/dist/ServiceClient.js"
import * as Tinker from "./packages/tinker/dist/Tinker.js"
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

const sampled = Effect.gen(function*() {
  const service = yield* ServiceClient.ServiceClient
  const sampling = yield* service.createSamplingClient({ baseModel: "small" })
  const prompt = ModelInput.fromTokens([1, 2, 3])
  return yield* sampling.sample({ prompt, samplingParams: SamplingParams.make({ maxTokens: 4 }) })
})
globalThis.result = Effect.runPromise(Effect.provide(sampled, Layer.provide(${client}, FetchHttpClient.layer)))
`
const alone = await bundled(sampling("Tinker.layerService()"))
console.log(`a program that samples: ${kilobytes(alone)}; with all clients: ${kilobytes(await bundled(sampling("Tinker.layer()")))}`)
if (alone.bytes > limit) throw new Error(`a program that samples may take ${limit / 1000} kB`)
