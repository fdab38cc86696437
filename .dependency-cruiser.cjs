// Who may import whom. A package exists because its dependencies or its runtime differ, so this is where they stay apart.
const allowed = {
  protocol: [],
  losses: ["protocol"],
  tinker: ["protocol"],
  tokenizer: ["protocol"],
  node: ["tinker", "protocol"],
  engine: ["losses"],
  llama: ["engine", "losses", "tokenizer"],
  server: ["protocol", "engine", "losses"],
  cookbook: ["tinker", "protocol", "losses", "tokenizer"]
}

/** The tiers of the SDK, first to last: a module imports from its own tier and those before it. */
const tiers = [
  "ConsoleUrl|ServerSentEvents|FileInput",
  "TinkerConfig|Credentials|TinkerEvents|TinkerMetrics|RequestExtras|RawResponse|TinkerHttpClient|RetryPolicy",
  "ServiceApi|ModelsApi|TrainingApi|SamplingApi|WeightsApi|FuturesApi|TelemetryApi|CheckpointsApi|TrainingRunsApi|SessionsApi|BillingApi|AuditApi|ApiKeyApi",
  "ClientConfig|SessionManager|WaitingPolicy|ApiFuture|CustomLoss|TelemetryReporter|UsageMeter",
  "CheckpointDownload|ServiceClient|TrainingClient|SamplingClient|RestClient|AdminClient|RawClient",
  "Tinker"
]

/** The wings of what is inside the SDK, first to last: a module imports from its own wing and those before it. */
const wings = ["effect", "transport", "call|dispatch", "session|telemetry|training|sampling|futures|download|rest"]

module.exports = {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Modules that import each other, types aside, are one module.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } }
    },
    ...Object.entries(allowed).map(([name, imports]) => ({
      name: `imports-of-${name}`,
      comment: `The package ${name} may import: ${imports.join(", ") || "no other package"}.`,
      severity: "error",
      from: { path: `^packages/${name}/src` },
      to: { path: "^packages/([^/]+)/", pathNot: [name, ...imports].map((other) => `^packages/${other}/`) }
    })),
    ...tiers.slice(1).map((tier, i) => ({
      name: `tier-${i}-of-the-sdk`,
      comment: "A module imports from its own tier and the ones above it.",
      severity: "error",
      from: { path: `^packages/tinker/src/(${tiers[i]})[.]ts$` },
      to: { path: `^packages/tinker/src/(${tiers.slice(i + 1).join("|")})[.]ts$` }
    })),
    ...wings.slice(1).map((wing, i) => ({
      name: `wing-${i}-of-the-sdk`,
      comment: "A module inside the SDK imports from its own wing and the ones above it.",
      severity: "error",
      from: { path: `^packages/tinker/src/internal/(${wings[i]})/` },
      to: { path: `^packages/tinker/src/internal/(${wings.slice(i + 1).join("|")})/`, dependencyTypesNot: ["type-only"] }
    })),
    {
      name: "wings-import-no-client",
      comment: "What is inside the SDK is what clients are made of.",
      severity: "error",
      from: { path: "^packages/tinker/src/internal/" },
      to: {
        path: "^packages/tinker/src/(ServiceClient|TrainingClient|SamplingClient|RestClient|AdminClient|RawClient|Tinker)[.]ts$",
        dependencyTypesNot: ["type-only"]
      }
    },
    {
      name: "losses-take-types-only",
      comment: "The losses are arithmetic; of the protocol they need its types.",
      severity: "error",
      from: { path: "^packages/losses/src" },
      to: { path: "^packages/protocol/", dependencyTypesNot: ["type-only"] }
    },
    {
      name: "the-sdk-runs-anywhere",
      comment: "The SDK and what it is made of run wherever an HttpClient runs, so nothing in them needs Node.",
      severity: "error",
      from: { path: "^packages/(protocol|tinker|losses)/src" },
      to: { dependencyTypes: ["core"] }
    },
    {
      name: "internals-stay-inside",
      comment: "A package's internal modules are for itself.",
      severity: "error",
      from: { path: "^packages/([^/]+)/" },
      to: { path: "^packages/([^/]+)/src/internal/", pathNot: "^packages/$1/" }
    }
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "/(build|dist)/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "types", "node", "default"],
      extensions: [".ts", ".js", ".mjs", ".json"]
    }
  }
}
