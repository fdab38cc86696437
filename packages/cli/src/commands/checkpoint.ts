import * as Args from "@effect/cli/Args"
import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"
import * as NumberOption from "../NumberOption.js"
import * as ParsedOption from "../ParsedOption.js"
import * as Listing from "./listing.js"
import * as Selection from "./selection.js"

const path = Args.text({ name: "PATH" }).pipe(
  Args.withDescription("The checkpoint's path, as tinker://<run id>/weights/<name>")
)

const { yes: _, ...ofSetTtl } = Selection.parameters

/** The commands of checkpoints. */
export const checkpoint = CommandTree.group("checkpoint", {
  summary: "Checkpoints: what there is of them, who may use them, and for how long.",
  commands: [
    CommandTree.leaf("list", {
      summary: "Lists checkpoints, the newest first.",
      examples: ["tinker checkpoint list --limit 0 --json", "tinker checkpoint list --run-id RUN_ID"],
      parameters: {
        ...Listing.parameters,
        runId: Options.text("run-id").pipe(
          Options.withPseudoName("id"),
          Options.withDescription(
            "Lists all checkpoints of this training run, whatever --limit says. Default: those of all runs"
          ),
          Options.optional
        )
      },
      load: () => import("../handlers/checkpointList.js").then(({ list }) => list)
    }),
    CommandTree.leaf("info", {
      summary: "Tells all that is known of a checkpoint.",
      details: "Of a public one of others it tells what is needed to load it.",
      parameters: { path },
      load: () => import("../handlers/checkpointInfo.js").then(({ info }) => info)
    }),
    CommandTree.leaf("save", {
      summary: "Saves weights to sample from: of a model that is made anew, or of a checkpoint.",
      details:
        "Of a base model it makes a LoRA model that answers as that does. Of a checkpoint of weights it takes the weights and what is "
        + "kept with them.",
      examples: [
        "tinker checkpoint save Qwen/Qwen3-8B --rank 16 --name untrained",
        "tinker checkpoint save tinker://RUN_ID/weights/final --ttl 7d"
      ],
      parameters: {
        source: Args.text({ name: "MODEL" }).pipe(
          Args.withDescription("A base model of the service, or the path of a checkpoint of weights")
        ),
        name: Options.text("name").pipe(
          Options.withPseudoName("name"),
          Options.withDescription("What it is called. Default: that of the checkpoint, or checkpoint- and the model's"),
          Options.optional
        ),
        ttl: ParsedOption.duration("ttl", "How long it is kept, as 12h, 7d or 52w. Default: for ever"),
        rank: ParsedOption.make("rank", {
          description: "Of a base model: the rank of its adapter. Default: 32",
          kind: "integer",
          wanted: "a whole number, 1 or more",
          parse: (text) => /^[1-9][0-9]{0,8}$/.test(text) ? Number(text) : undefined
        }),
        seed: ParsedOption.make("seed", {
          description: "Of a base model: the same seed gives the same adapter. Default: the server draws one",
          kind: "integer",
          wanted: "a whole number",
          parse: (text) => /^-?[0-9]{1,15}$/.test(text) ? Number(text) : undefined
        }),
        noTrainAttn: Options.boolean("no-train-attn").pipe(
          Options.withDescription("Of a base model: leaves its attention layers alone")
        ),
        noTrainMlp: Options.boolean("no-train-mlp").pipe(
          Options.withDescription("Of a base model: leaves its feed-forward layers alone")
        ),
        noTrainUnembed: Options.boolean("no-train-unembed").pipe(
          Options.withDescription("Of a base model: leaves its unembedding alone")
        ),
        output: Options.text("output").pipe(
          Options.withPseudoName("file"),
          Options.withDescription("Writes what is known of it into a new file too, as JSON"),
          Options.optional
        ),
        force: Options.boolean("force").pipe(Options.withDescription("With --output: replaces a file that is there"))
      },
      short: { output: "o" },
      load: () => import("../handlers/checkpointSave.js").then(({ save }) => save)
    }),
    CommandTree.leaf("download", {
      summary: "Brings the files of a checkpoint to this machine, as a PEFT folder.",
      details:
        "One of external_weights as it is. For one of weights the service first makes the files, for which it loads it into a "
        + "new model; what it saves for that is deleted afterwards. Those of sampler_weights cannot be had.",
      examples: ["cd \"$(tinker checkpoint download tinker://RUN_ID/weights/final)\""],
      parameters: {
        path,
        output: Options.text("output").pipe(
          Options.withPseudoName("folder"),
          Options.withDescription("The folder in which the new one is made. Default: the current one"),
          Options.withDefault(".")
        ),
        force: Options.boolean("force").pipe(
          Options.withDescription("Replaces a folder that is there, once the new one is whole")
        ),
        resume: Options.boolean("resume").pipe(
          Options.withDescription("Keeps what has come when it fails, and goes on from what is there")
        )
      },
      short: { output: "o" },
      load: () => import("../handlers/checkpointDownload.js").then(({ download }) => download)
    }),
    CommandTree.leaf("export", {
      summary: "Makes a model's folder of a checkpoint: its adapter, or the base model with the adapter merged in.",
      details:
        "The adapter is a PEFT folder, as download brings it. With --merged it is added to the weights in the folder of --base, and what is written "
        + "is a folder like that one: programs load it that know nothing of adapters.",
      examples: [
        "tinker checkpoint export tinker://RUN_ID/weights/final -o adapter",
        "tinker checkpoint export tinker://RUN_ID/weights/final --merged --base Qwen3-8B -o merged",
        "tinker checkpoint export adapter --merged --base Qwen3-8B -o merged"
      ],
      parameters: {
        source: Args.text({ name: "PATH" }).pipe(
          Args.withDescription("The checkpoint's path, or with --merged an adapter's folder on this machine")
        ),
        output: Options.text("output").pipe(
          Options.withPseudoName("folder"),
          Options.withDescription("The folder that is made")
        ),
        merged: Options.boolean("merged").pipe(Options.withDescription("Adds the adapter to the base model's weights")),
        base: Options.text("base").pipe(
          Options.withPseudoName("folder"),
          Options.withDescription("The base model's folder, as it comes from the Hugging Face hub"),
          Options.optional
        ),
        force: Options.boolean("force").pipe(
          Options.withDescription("Replaces a folder that is there, once the new one is whole")
        )
      },
      short: { output: "o" },
      load: () => import("../handlers/checkpointExport.js").then(({ exportModel }) => exportModel)
    }),
    CommandTree.leaf("push-hf", {
      summary: "Pushes a checkpoint's adapter to the Hugging Face Hub.",
      details:
        "Without --repo to a private repository named by the model and the run, on a branch named by the checkpoint. The token is that of --hf-token, "
        + "HF_TOKEN, HUGGING_FACE_HUB_TOKEN, the file of HF_TOKEN_PATH, or what hf auth login has stored. HF_ENDPOINT is the Hub's address.",
      examples: [
        "tinker checkpoint push-hf tinker://RUN_ID/weights/final",
        "tinker checkpoint push-hf tinker://RUN_ID/weights/final --repo me/my-adapter --public"
      ],
      parameters: {
        path,
        repo: Options.text("repo").pipe(
          Options.withPseudoName("id"),
          Options.withDescription("The repository, as name or namespace/name. Default: named by the model and the run"),
          Options.optional
        ),
        public: Options.boolean("public").pipe(
          Options.withDescription("Shows the repository to everybody, where it is made now")
        ),
        revision: Options.text("revision").pipe(
          Options.withPseudoName("branch"),
          Options.withDescription(
            "The branch, which is made where it is not there. Default: main, and without --repo one named by the checkpoint"
          ),
          Options.optional
        ),
        commitMessage: Options.text("commit-message").pipe(
          Options.withPseudoName("text"),
          Options.withDescription("What the commit says. Default: the checkpoint's path"),
          Options.optional
        ),
        createPr: Options.boolean("create-pr").pipe(Options.withDescription("Proposes the commit in a pull request")),
        allowPattern: Options.text("allow-pattern").pipe(
          Options.withPseudoName("glob"),
          Options.withDescription(
            "Pushes those files alone that fit one of these; * also goes over slashes. May come again"
          ),
          Options.repeated
        ),
        ignorePattern: Options.text("ignore-pattern").pipe(
          Options.withPseudoName("glob"),
          Options.withDescription("Leaves out files that fit one of these. May come again"),
          Options.repeated
        ),
        noModelCard: Options.boolean("no-model-card").pipe(
          Options.withDescription("Adds no README.md that says what the adapter is")
        ),
        overwrite: Options.boolean("overwrite").pipe(
          Options.withDescription("Pushes also over what was made of another checkpoint")
        ),
        hfToken: Options.text("hf-token").pipe(
          Options.withPseudoName("token"),
          Options.withDescription("The Hub's token, which other users of this machine may see on the line"),
          Options.optional
        ),
        hfTokenStdin: Options.boolean("hf-token-stdin").pipe(
          Options.withDescription("Reads the token from the standard input")
        )
      },
      short: { repo: "r" },
      repeated: ["allowPattern", "ignorePattern"],
      load: () => import("../handlers/checkpointPushHf.js").then(({ pushHf }) => pushHf)
    }),
    CommandTree.leaf("publish", {
      summary: "Lets everybody use checkpoints.",
      details: "Asks first on a terminal. One that is public already stays so.",
      examples: ["tinker checkpoint publish tinker://RUN_ID/sampler_weights/final"],
      parameters: Selection.parameters,
      short: Selection.short,
      repeated: Selection.repeated,
      load: () => import("../handlers/checkpointPublish.js").then(({ publish }) => publish)
    }),
    CommandTree.leaf("unpublish", {
      summary: "Keeps checkpoints to their owner again.",
      parameters: Selection.parameters,
      short: Selection.short,
      repeated: Selection.repeated,
      load: () => import("../handlers/checkpointPublish.js").then(({ unpublish }) => unpublish)
    }),
    CommandTree.leaf("set-ttl", {
      summary: "Says for how long checkpoints are kept, from now on.",
      details: "From an hour to ten years.",
      examples: [
        "tinker checkpoint set-ttl tinker://RUN_ID/weights/final --ttl 365d",
        "tinker checkpoint set-ttl --all --no-ttl --older-than 30d --ttl 7d"
      ],
      parameters: {
        ...ofSetTtl,
        ttl: ParsedOption.duration("ttl", "How long from now, as 12h, 7d or 52w; a number alone is of seconds"),
        expiresAt: ParsedOption.time("expires-at", "When they expire"),
        remove: Options.boolean("remove").pipe(Options.withDescription("Keeps them for ever"))
      },
      repeated: Selection.repeated,
      load: () => import("../handlers/checkpointTtl.js").then(({ setTtl }) => setTtl)
    }),
    CommandTree.leaf("delete", {
      summary: "Deletes checkpoints for good.",
      details: "Says which, and asks first. One that is gone already is no failure.",
      examples: [
        "tinker checkpoint delete tinker://RUN_ID/weights/0001",
        "tinker checkpoint delete --all --older-than 30d --keep-last 2 --dry-run",
        "tinker checkpoint delete --run-id RUN_ID --type sampler --before 2026-11-01 --yes"
      ],
      parameters: Selection.parameters,
      short: Selection.short,
      repeated: Selection.repeated,
      load: () => import("../handlers/checkpointDelete.js").then(({ remove }) => remove)
    }),
    CommandTree.leaf("keep", {
      summary: "Keeps the best checkpoints of a run, and deletes its others.",
      details: "By a figure in the metadata of checkpoints; those without it are left alone.",
      examples: ["tinker checkpoint keep RUN_ID --best 3 --metric held_out_loss --dry-run"],
      parameters: {
        runId: Args.text({ name: "RUN_ID" }).pipe(Args.withDescription("The run's id")),
        best: NumberOption.make("best", {
          isInteger: true,
          bounds: [1, Number.MAX_SAFE_INTEGER],
          description: "How many are kept",
          fallback: 1
        }),
        metric: Options.text("metric").pipe(
          Options.withPseudoName("name"),
          Options.withDescription("The figure by which they are compared; the lowest is the best")
        ),
        highest: Options.boolean("highest").pipe(Options.withDescription("The highest is the best")),
        type: Selection.parameters.type,
        dryRun: Selection.parameters.dryRun,
        yes: Selection.parameters.yes
      },
      short: Selection.short,
      load: () => import("../handlers/checkpointKeep.js").then(({ keep }) => keep)
    })
  ]
})
