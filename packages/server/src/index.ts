export * as CheckpointStore from "./CheckpointStore.js"

export * as Dialect from "./Dialect.js"

export * as Faults from "./Faults.js"

export * as Futures from "./Futures.js"

export * as OpenRLDialect from "./OpenRLDialect.js"

export * as RequestQueue from "./RequestQueue.js"

export * as ServerError from "./ServerError.js"

export * as ServerJournal from "./ServerJournal.js"

export * as Sessions from "./Sessions.js"

export * as SkyRLDialect from "./SkyRLDialect.js"

export * as TinkerProtocol from "./TinkerProtocol.js"

export * as TinkerServer from "./TinkerServer.js"
