/** Parameters by which commands choose checkpoints. */
import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as NumberOption from "../NumberOption.js"
import * as ParsedOption from "../ParsedOption.js"

const types = {
  training: "training",
  weights: "training",
  sampler: "sampler",
  sampler_weights: "sampler",
  external: "external",
  external_weights: "external"
} as const

export const parameters = {
  paths: Args.text({ name: "PATH" }).pipe(
    Args.withDescription("Paths of checkpoints. Without one the options say which"),
    Args.repeated
  ),
  fromFile: Options.text("from-file").pipe(
    Options.withPseudoName("file"),
    Options.withDescription("File of paths, one a line; - is the standard input"),
    Options.optional
  ),
  runId: Options.text("run-id").pipe(
    Options.withPseudoName("id"),
    Options.withDescription("Those of this training run"),
    Options.optional
  ),
  all: Options.boolean("all").pipe(
    Options.withDescription("Those of all your training runs; other options narrow them down")
  ),
  type: Options.choiceWithValue("type", Object.entries(types)).pipe(
    Options.withDescription("Those of this type: training, sampler or external"),
    Options.optional
  ),
  before: ParsedOption.time("before", "Those made before this time"),
  after: ParsedOption.time("after", "Those made after this time"),
  olderThan: ParsedOption.duration("older-than", "Those made longer ago than this, as 7d"),
  name: Options.text("name").pipe(
    Options.withPseudoName("glob"),
    Options.withDescription("Those of such a name, in which * stands for any letters and ? for one, as step-*"),
    Options.optional
  ),
  minSize: ParsedOption.size("min-size", "Those of this size or larger, as 500MB"),
  noTtl: Options.boolean("no-ttl").pipe(Options.withDescription("Those that never expire")),
  public: Options.boolean("public").pipe(Options.withDescription("Those that are public")),
  private: Options.boolean("private").pipe(Options.withDescription("Those that are not public")),
  keepLast: NumberOption.make("keep-last", {
    isInteger: true,
    bounds: [0, Number.MAX_SAFE_INTEGER],
    description: "Leaves the newest so many of each run and type alone",
    fallback: 0
  }),
  keep: Options.text("keep").pipe(
    Options.withPseudoName("path"),
    Options.withDescription("Leaves this one alone; again for each other"),
    Options.repeated
  ),
  dryRun: Options.boolean("dry-run").pipe(Options.withDescription("Says what would be done, and does nothing")),
  yes: Options.boolean("yes").pipe(Options.withDescription("Does not ask first"))
}

export const short = { yes: "y" }

export const repeated = ["keep"] as const
