import * as CommandTree from "../CommandTree.js"
import * as ParsedOption from "../ParsedOption.js"
import * as Reading from "./reading.js"
import { defaults } from "./trainFlags.js"

const count = (name: string, description: string) =>
  ParsedOption.make(name, {
    description,
    kind: "integer",
    wanted: "a whole number, 1 or more",
    parse: (text) => /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined
  })

const price = (name: string, of: string) =>
  ParsedOption.make(name, {
    description: `US dollars for a million tokens ${of}. Default: the service's own latest rate for the model`,
    kind: "dollars",
    wanted: "a number of dollars, as 0.40",
    parse: (text) => /^([0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : undefined
  })

/** The command that counts what training costs. */
export const cost = CommandTree.leaf("cost", {
  summary: "Counts the tokens that training on a file takes, and what they cost.",
  details:
    "Counted is what tinker train does with the file: each step trains on the tokens of its batch, the held-out lines are read before and "
    + "after, and a few questions are asked. Prices are those given, or the service's rates in the usage of the last 14 days; without "
    + "them there is no cost. No price is guessed.",
  examples: [
    "tinker cost data.jsonl --base-model Qwen/Qwen3-8B --epochs 3",
    "tinker cost data.jsonl --steps 500 --price-training 0.40 --price-prefill 0.13 --price-sampled 0.40"
  ],
  parameters: {
    ...Reading.parameters,
    steps: count("steps", `Optimizer steps. Default: ${defaults.steps}`),
    epochs: count("epochs", "Instead of --steps: how often each conversation is learned"),
    batchSize: count("batch-size", `Conversations a step. Default: ${defaults.batchSize}, as tinker train has it`),
    priceTraining: price("price-training", "that are trained on"),
    pricePrefill: price("price-prefill", "of questions that are read"),
    priceSampled: price("price-sampled", "of answers")
  },
  load: () => import("../handlers/cost.js").then(({ cost }) => cost)
})
