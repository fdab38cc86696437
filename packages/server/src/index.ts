export * as AdamW from "./AdamW.js"

export * as BigramEngine from "./BigramEngine.js"

export * as CheckpointStore from "./CheckpointStore.js"

export * as Dialect from "./Dialect.js"

export * as Engine from "./Engine.js"

export * as Faults from "./Faults.js"

export * as Futures from "./Futures.js"

export * as ModelState from "./ModelState.js"
export * as OpenRLDialect from "./OpenRLDialect.js"

export * as PromptScores from "./PromptScores.js"

export * as RequestQueue from "./RequestQueue.js"

export * as Safetensors from "./Safetensors.js"

export * as Sampler from "./Sampler.js"

export * as ServerError from "./ServerError.js"
export * as ServerJournal from "./ServerJournal.js"

export * as Sessions from "./Sessions.js"

export * as SkyRLDialect from "./SkyRLDialect.js"

export * as TinkerProtocol from "./TinkerProtocol.js"

export * as TinkerServer from "./TinkerServer.js"
