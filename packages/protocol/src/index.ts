export * as AccessScope from "./AccessScope.js"

export * as AdamParams from "./AdamParams.js"

export * as AgeRecipient from "./AgeRecipient.js"

export * as ApiKeyMessages from "./ApiKeyMessages.js"

export * as AuditLogEntry from "./AuditLogEntry.js"

export * as AuditMessages from "./AuditMessages.js"

export * as BillingMessages from "./BillingMessages.js"

export * as CallOptions from "./CallOptions.js"

export * as Checkpoint from "./Checkpoint.js"

export * as CheckpointRef from "./CheckpointRef.js"

export * as CheckpointsMessages from "./CheckpointsMessages.js"

export * as Checks from "./Checks.js"

export * as Cursor from "./Cursor.js"

export * as Datum from "./Datum.js"

export * as DefaultBaseUrl from "./DefaultBaseUrl.js"

export * as Endpoint from "./Endpoint.js"

export * as Endpoints from "./Endpoints.js"

export * as ForwardBackwardOutput from "./ForwardBackwardOutput.js"

export * as FuturesMessages from "./FuturesMessages.js"

export * as Identifiers from "./Identifiers.js"

export * as InputShape from "./InputShape.js"

export * as LoraConfig from "./LoraConfig.js"

export * as LossFn from "./LossFn.js"

export * as ModelInput from "./ModelInput.js"

export * as ModelsMessages from "./ModelsMessages.js"

export * as OptimizerParams from "./OptimizerParams.js"

export * as Prose from "./Prose.js"

export * as ReceivedRequests from "./ReceivedRequests.js"

export * as SampleResponse from "./SampleResponse.js"

export * as SamplingMessages from "./SamplingMessages.js"

export * as SamplingParams from "./SamplingParams.js"

export * as ServiceMessages from "./ServiceMessages.js"

export * as SessionSummary from "./SessionSummary.js"

export * as SessionsMessages from "./SessionsMessages.js"

export * as StorageUsage from "./StorageUsage.js"

export * as TelemetryMessages from "./TelemetryMessages.js"

export * as TensorData from "./TensorData.js"

export * as TinkerError from "./TinkerError.js"

export * as TinkerPath from "./TinkerPath.js"

export * as TokenizerError from "./TokenizerError.js"

export * as Tokenizers from "./Tokenizers.js"

export * as TrainingMessages from "./TrainingMessages.js"

export * as TrainingRun from "./TrainingRun.js"

export * as TrainingRunsMessages from "./TrainingRunsMessages.js"

export * as UsageEvent from "./UsageEvent.js"

export * as WeightsMessages from "./WeightsMessages.js"

export * as WireField from "./WireField.js"

export * as WireTime from "./WireTime.js"
