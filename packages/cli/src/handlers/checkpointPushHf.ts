import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as RestClient from "effect-tinker/RestClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as CheckpointFiles from "../CheckpointFiles.js"
import type { Handler } from "../CommandTree.js"
import * as Connection from "../Connection.js"
import * as Failure from "../Failure.js"
import * as HuggingFaceHub from "../HuggingFaceHub.js"
import * as HuggingFaceToken from "../HuggingFaceToken.js"
import * as Humanize from "../Humanize.js"
import * as ModelCard from "../ModelCard.js"
import * as Output from "../Output.js"
import * as Table from "../Table.js"
import { UsageError } from "../UsageError.js"

interface Input {
  readonly path: string
  readonly repo: Option.Option<string>
  readonly public: boolean
  readonly revision: Option.Option<string>
  readonly commitMessage: Option.Option<string>
  readonly createPr: boolean
  readonly allowPattern: ReadonlyArray<string>
  readonly ignorePattern: ReadonlyArray<string>
  readonly noModelCard: boolean
  readonly overwrite: boolean
  readonly hfToken: Option.Option<string>
  readonly hfTokenStdin: boolean
}

export const pushHf: Handler<Input> = (input) =>
  Effect.gen(function*() {
    const checkpoint = yield* CheckpointFiles.parse(input.path)
    yield* checkNames(input)
    const endpoint = yield* endpointOf
    const token = yield* HuggingFaceToken.find({ given: input.hfToken, isOnInput: input.hfTokenStdin })
    const output = yield* Output.Output
    const hub = yield* HuggingFaceHub.make(endpoint, token)
    // Before the service is asked for the files, which may take long.
    const user = yield* hub.whoami
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const room = yield* files.makeTempDirectoryScoped({ prefix: "tinker-push-" })
    const folder = paths.join(room, "adapter")
    const { files: names } = yield* CheckpointFiles.fetch(checkpoint, { directory: folder })
    yield* checkFiles(input.path, names)
    const model = yield* describe(input.path, paths.join(folder, adapterConfig))

    const { repo: wanted, revision } = placeOf(input, checkpoint, model.baseModel)
    const card = !input.noModelCard && !names.includes(readme) ? readme : undefined
    const isWanted = HuggingFaceHub.filter({
      allow: input.allowPattern,
      // What the service marks whole checkpoints with is no part of the adapter.
      ignore: [...input.ignorePattern, ...(input.allowPattern.length === 0 ? ["checkpoint_complete"] : [])]
    })
    const pushed = [...names, ...(card === undefined ? [] : [card])].filter((name) =>
      isWanted(name.split(paths.sep).join("/"))
    )
    if (pushed.length === 0) {
      return yield* new UsageError({
        description: `no file is left to push by these patterns. There are: ${[...names].sort().join(", ")}.`
      })
    }

    const repository = yield* hub.createRepository(wanted, { user, isPublic: input.public })
    const { id: repo, isPublic } = repository
    if (isPublic && !input.public) yield* output.warning(`${repo} is public: everybody sees what is pushed there.`)
    if (input.public && !isPublic) yield* output.warning(`${repo} was there already and is private, which it stays.`)
    if (!input.overwrite) yield* checkCard(input.path, repo, revision, yield* hub.modelCard(repo, revision))
    if (!input.createPr) yield* hub.ensureBranch(repo, revision)
    if (card !== undefined) {
      yield* files.writeFileString(
        paths.join(folder, card),
        ModelCard.text({ ...model, repo, revision: revision === main ? undefined : revision, tinkerPath: input.path })
      )
    }
    const sent = new Map<string, number>()
    const done = yield* hub.push({
      repo,
      revision,
      folder,
      files: pushed.toSorted(),
      summary: Option.getOrElse(input.commitMessage, () => `Upload ${input.path}`),
      isPullRequest: input.createPr,
      onSent: (file, bytes, size) => {
        sent.set(file, (sent.get(file) ?? 0) + bytes)
        return output.progress(`Uploading ${file}: ${Humanize.size(sent.get(file)!)} of ${Humanize.size(size)}`)
      }
    })
    yield* output.progress("")
    yield* output.result({
      json: {
        checkpoint_path: input.path,
        repo_id: repo,
        revision,
        public: isPublic,
        url: done.pullRequestUrl ?? repository.url,
        commit: done.commit,
        commit_url: done.commitUrl,
        pull_request_url: done.pullRequestUrl,
        files: done.files,
        file_size_bytes: done.bytes
      },
      text: (layout) =>
        layout.width === undefined ? `${done.pullRequestUrl ?? repository.url}\n` : Table.facts(
          `Checkpoint Hub Upload: ${input.path}`,
          [
            ["Checkpoint Path", input.path],
            ["Repo ID", repo],
            ["Revision", revision],
            ["Public", Humanize.yesNo(isPublic)],
            ["Total Size", Humanize.size(done.bytes)],
            ...(done.commit === undefined ? [] : [["Commit", done.commit] as const]),
            ...(done.pullRequestUrl === undefined ? [] : [["Pull Request", done.pullRequestUrl] as const]),
            ["URL", repository.url]
          ]
        )(layout)
    })
  }).pipe(Effect.provide(Layer.merge(Connection.layer, Connection.layerHttp)))

const main = "main"
const readme = "README.md"
const adapterConfig = "adapter_config.json"

/** The rules of the Hub for names, which it would say after the files were made. */
const checkNames = ({ repo, revision }: Input) =>
  Effect.gen(function*() {
    const id = Option.getOrUndefined(repo)
    const isGood = (name: string) => /^\w[\w.-]{0,95}$/.test(name) && !/--|\.\.|[-.]$|\.git$/.test(name)
    if (id !== undefined && (id.split("/").length > 2 || !id.split("/").every(isGood))) {
      return yield* new UsageError({
        description: `--repo is ${
          JSON.stringify(id)
        }; it must be a name, or namespace/name, of letters, digits, "-", "_" and ".", at most 96 each.`
      })
    }
    const branch = Option.getOrUndefined(revision)
    // As Git has it, more or less.
    if (
      branch !== undefined && (!/^[^\s~^:?*[\\\p{C}]+$/u.test(branch) || /^[-/]|\.\.|\/\/|[/.]$|\.lock$/.test(branch))
    ) {
      return yield* new UsageError({
        description: `--revision is ${JSON.stringify(branch)}, which is no name of a branch.`
      })
    }
  })

const endpointOf = Effect.flatMap(Connection.settings, (settings) => {
  const given = settings.get("HF_ENDPOINT") ?? HuggingFaceHub.defaultEndpoint
  return URL.canParse(given) && /^https?:$/.test(new URL(given).protocol) && new URL(given).search === ""
    ? Effect.succeed(given.trim().replace(/\/+$/, ""))
    : new UsageError({
      description: `HF_ENDPOINT is ${
        JSON.stringify(given)
      }, which is no address. The Hub's is ${HuggingFaceHub.defaultEndpoint}.`
    })
})

const checkFiles = (path: string, names: ReadonlyArray<string>) => {
  const missing = [adapterConfig, "adapter_model.safetensors"].filter((name) =>
    !names.includes(name) && !(name !== adapterConfig && names.includes("adapter_model.bin"))
  )
  return missing.length === 0
    ? Effect.void
    : Failure.failed(
      names.some((name) => name.endsWith(".age"))
        ? `the files of ${path} are encrypted, and nothing was pushed. Only who has the key can make an adapter of them.`
        : `${path} has no ${missing.join(" and no ")}, and nothing was pushed.`
    )
}

/** What the service and the adapter know of it; the adapter is told its base model where it does not name one. */
const describe = (path: string, place: string) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const rest = yield* RestClient.RestClient
    const output = yield* Output.Output
    const info = Option.getOrUndefined(yield* Effect.option(Connection.brief(rest.getWeightsInfo(path))))
    const text = yield* files.readFileString(place)
    const config: unknown = yield* Effect.try({
      try: () => JSON.parse(text),
      catch: () => Failure.failed(`the ${adapterConfig} of ${path} is not JSON, and nothing was pushed.`)
    })
    if (typeof config !== "object" || config === null || Array.isArray(config)) {
      return yield* Failure.failed(`the ${adapterConfig} of ${path} is no JSON object, and nothing was pushed.`)
    }
    const { base_model_name_or_path: named, r } = config as Readonly<Record<string, unknown>>
    const baseModel = info?.baseModel ?? (typeof named === "string" ? named : undefined)
    if (baseModel === undefined) yield* output.warning(`it is not known of which base model ${path} is.`)
    if (typeof named !== "string" && baseModel !== undefined) {
      const whole = Object.entries({ ...config, base_model_name_or_path: baseModel }).sort(([a], [b]) => a < b ? -1 : 1)
      yield* files.writeFileString(place, `${JSON.stringify(Object.fromEntries(whole), null, 2)}\n`)
    }
    const parts = [
      ["attention", info?.trainAttn],
      ["MLP", info?.trainMlp],
      ["unembedding", info?.trainUnembed]
    ] as const
    return {
      baseModel,
      rank: info?.loraRank ?? (typeof r === "number" ? r : undefined),
      trained: parts.every(([, isTrained]) => isTrained === undefined)
        ? undefined
        : parts.flatMap(([part, isTrained]) => isTrained === true ? [part] : [])
    }
  })

/** Where it goes. Pull requests are made to the main branch, unless another is named. */
const placeOf = (input: Input, checkpoint: TinkerPath.TinkerPath, baseModel: string | undefined) => {
  const [kind, name] = TinkerPath.format(checkpoint).split("/").slice(-2)
  const derived = `tinker-${baseModel?.split("/").at(-1) ?? "adapter"}-${checkpoint.trainingRunId}`
  return {
    repo: Option.getOrElse(input.repo, () => sanitized(derived).slice(0, 96).replace(/[-_.]+$/, "")),
    revision: Option.getOrElse(
      input.revision,
      () => Option.isSome(input.repo) || input.createPr ? main : sanitized(`${kind}-${name}`)
    )
  }
}

const sanitized = (text: string): string =>
  text.replace(/[^A-Za-z0-9\-_.]/g, "-").replace(/-+/g, "-").replace(/\.{2,}/g, ".").replace(/^[-_. ]+|[-_. ]+$/g, "")

/** What was pushed of another checkpoint is not written over by a slip. */
const checkCard = (path: string, repo: string, revision: string, card: string | undefined) => {
  const other = (card?.match(/tinker:\/\/[^\s"'`<>)\]]+/g) ?? []).find((one) => one !== path)
  return other === undefined
    ? Effect.void
    : Failure.failed(
      `${repo} has on ${revision} what was made of ${other}, and nothing was pushed. Choose another --repo or --revision, or pass --overwrite.`
    )
}
