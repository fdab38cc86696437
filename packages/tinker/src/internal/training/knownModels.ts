import type * as LoraConfig from "@effect-tinker/protocol/LoraConfig"
import type * as ServiceMessages from "@effect-tinker/protocol/ServiceMessages"
import type { Issue } from "@effect-tinker/protocol/TinkerError"

/** What the server said of its models, if it was asked, by their names. */
export type KnownModels = Map<string, typeof ServiceMessages.SupportedModel.Type>

/** What keeps a model from being trained. */
export const untrainable = (
  { trainAttn, trainMlp, trainUnembed }: LoraConfig.LoraConfig,
  baseModel: string,
  known: KnownModels
): ReadonlyArray<Issue> => {
  const issues: Array<Issue> = []
  if (!trainAttn && !trainMlp && !trainUnembed) {
    issues.push({
      field: "trainAttn, trainMlp, trainUnembed",
      description: "are all false, which leaves nothing to train."
    })
  }
  if (known.get(baseModel)?.trainable === false) {
    issues.push({ field: "baseModel", description: `${baseModel} cannot be trained on this server.` })
  }
  return issues
}
