/** The description of the routes for other programs, in OpenAPI 3.1, made from the schemas that read and write their JSON. */
import { ErrorResponse } from "@effect-tinker/protocol/ServiceMessages"
import * as JSONSchema from "effect/JSONSchema"
import * as Schema from "effect/Schema"
import * as Http from "./http.js"
import * as Routes from "./routes.js"

/** An OpenAPI document. It is the same for every server, so it is made once, when somebody asks. */
export const make = (): unknown => {
  const definitions: Record<string, JSONSchema.JsonSchema7> = {}
  const schemaOf = (schema: Schema.Schema.All) =>
    JSONSchema.fromAST(Schema.encodedSchema(schema as Schema.Schema.Any).ast, {
      definitions,
      definitionPath: "#/components/schemas/",
      target: "openApi3.1",
      additionalPropertiesStrategy: "allow"
    })

  const parametersOf = ({ path, query }: Routes.Route) => {
    const inPath = Array.from(path.matchAll(/:(\w+)/g), ([, name]) => ({
      name,
      in: "path",
      required: true,
      schema: { type: "string" }
    }))
    const fields = query === undefined ? undefined : schemaOf(query)
    const properties = fields !== undefined && "properties" in fields ? fields.properties : {}
    const required = fields !== undefined && "required" in fields ? fields.required : []
    return [
      ...inPath,
      ...Object.entries(properties).map(([name, schema]) => ({
        name,
        in: "query",
        required: required.includes(name),
        schema
      }))
    ]
  }

  const contentOf = (schema: unknown, isProtobuf: boolean) => ({
    "application/json": { schema },
    ...(isProtobuf ? { [Http.protobufType]: { schema: { type: "string", format: "binary" } } } : {})
  })

  const answerOf = ({ answer, protobuf }: Routes.Route): Readonly<Record<string, unknown>> => {
    switch (answer) {
      case "none":
        return { 204: { description: "Done" } }
      case "redirect":
        return { 302: { description: "Where it is" } }
      case "text":
        return { 200: { description: "As text", content: { "text/plain": { schema: { type: "string" } } } } }
      case "file":
        return {
          200: {
            description: "Its bytes",
            content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } }
          }
        }
      default:
        return {
          200: {
            description: "The answer",
            content: contentOf(answer === undefined ? { type: "object" } : schemaOf(answer), protobuf === "answer")
          }
        }
    }
  }

  const paths: Record<string, Record<string, unknown>> = {}
  for (const [name, route] of Routes.all) {
    const path = Routes.pathOf(route).replace(/:(\w+)/g, "{$1}")
    const operations = paths[path] ??= {}
    operations[route.method.toLowerCase()] = {
      operationId: name,
      summary: summaries[name],
      security: route.access === "open" ? [] : [{ key: [] }],
      parameters: parametersOf(route),
      ...(route.body === undefined ? {} : {
        requestBody: { required: true, content: contentOf(schemaOf(route.body), route.protobuf === "body") }
      }),
      responses: { ...answerOf(route), "4XX": { $ref: "#/components/responses/Refusal" } }
    }
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Tinker protocol",
      version: "0.38.0",
      description:
        "Fine-tuning and sampling, as the Python SDK of this version speaks it. A request that is accepted has a "
        + "request_id, by which retrieve_future gives its result."
    },
    paths,
    components: {
      schemas: definitions,
      securitySchemes: { key: { type: "apiKey", in: "header", name: "X-API-Key" } },
      responses: {
        Refusal: {
          description: "What was wrong",
          content: {
            "application/json": {
              schema: schemaOf(ErrorResponse)
            }
          }
        }
      }
    }
  }
}

/** What each route does. */
const summaries: Readonly<Record<Routes.RouteName, string>> = {
  healthz: "Is well",
  clientConfig: "Settings for a client",
  dynamicConfig: "Settings that may change",
  authToken: "Exchanges a key for a token",
  getApiKey: "Tells about the key",
  deleteApiKey: "Takes the key away",
  getServerCapabilities: "Lists base models",
  telemetry: "Takes events, and keeps none",
  createSession: "Begins a session",
  sessionHeartbeat: "Keeps a session alive",
  finishSession: "Ends a session",
  listSessions: "Lists sessions",
  searchSessions: "Searches sessions",
  getSession: "Tells of a session",
  assignSessionProject: "Puts a session into a project",
  exportSessionTrace: "Says that there are no traces",
  createModel: "Makes a model",
  getInfo: "Tells what a model is",
  unloadModel: "Frees a model",
  forwardBackward: "Computes losses and gradients",
  forward: "Computes losses",
  optimStep: "Steps the optimizer",
  createCustomLoss: "Is refused: there are no losses of others",
  saveWeights: "Saves weights to train on from",
  saveWeightsForSampler: "Saves weights to sample from",
  saveWeightsExternal: "Saves weights for other programs",
  loadWeights: "Loads weights into a new model",
  weightsInfo: "Tells what a checkpoint is",
  copyWeights: "Copies a checkpoint into a run of its own",
  createSamplingSession: "Makes a sampler",
  joinSamplingSession: "Numbers a copy of a sampler's client",
  getSampler: "Tells what a sampler samples from",
  asample: "Samples",
  retrieveFuture: "The result of a request, or that it is not there yet",
  retrieveFutures: "Which samples are done",
  cancelFuture: "Stops a sample",
  listTrainingRuns: "Lists training runs",
  getTrainingRun: "Tells of a training run",
  listCheckpoints: "Lists the checkpoints of a run",
  listUserCheckpoints: "Lists the checkpoints of all runs",
  deleteCheckpoint: "Deletes a checkpoint",
  publishCheckpoint: "Makes a checkpoint public",
  unpublishCheckpoint: "Takes that back",
  setCheckpointTtl: "Sets how long a checkpoint is kept",
  getExternalWeightsUrls: "Addresses of a checkpoint's files",
  getCheckpointArchiveUrl: "Address of an archive",
  getBillingUsage: "What was used in each hour",
  getCurrentCheckpointStorageUsage: "What checkpoints take up now",
  getAuditLog: "What was done on a day",
  removeWithoutKind: "Is refused: a checkpoint has a kind and a name",
  file: "A file of a checkpoint",
  metrics: "Figures for Prometheus",
  openApi: "This description",
  hubFile: "A file of a base model's tokenizer or configuration",
  hubModel: "Tells which files a base model has for clients",
  hubRevision: "The same, by its revision",
  hubTree: "Lists these files",
  hubFolder: "Says that there are no folders of them",
  hubFileByName: "A file of a base model whose name has no slash",
  hubModelByName: "Tells which files it has for clients",
  hubRevisionByName: "The same, by its revision",
  hubTreeByName: "Lists these files",
  hubFolderByName: "Says that there are no folders of them"
}
