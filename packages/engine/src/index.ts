export * as AdamW from "./AdamW.js"

export * as BigramEngine from "./BigramEngine.js"

export * as Engine from "./Engine.js"

export * as Frames from "./Frames.js"

export * as ModelState from "./ModelState.js"

export * as PromptScores from "./PromptScores.js"

export * as Safetensors from "./Safetensors.js"

export * as Sampler from "./Sampler.js"
