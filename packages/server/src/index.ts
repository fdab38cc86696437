export * as AdamW from "./AdamW.js"

export * as BigramEngine from "./BigramEngine.js"

export * as Engine from "./Engine.js"

export * as Safetensors from "./Safetensors.js"

export * as Sampler from "./Sampler.js"

export * as ServerError from "./ServerError.js"
