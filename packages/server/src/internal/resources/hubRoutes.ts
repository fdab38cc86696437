/**
 * Handlers of the tokenizer and configuration files of base models, at the paths and with the headers of the Hugging Face
 * hub: libraries that take its address from `HF_ENDPOINT` load tokenizers here. Source: huggingface_hub 2.4.0, which reads
 * them.
 */
import type { BaseModel, EngineError } from "@effect-tinker/engine/Engine"
import * as Effect from "effect/Effect"
import * as FileAnswer from "../http/fileAnswer.js"
import * as Http from "../http/http.js"
import * as StoredFile from "../http/storedFile.js"
import * as Sha256 from "../records/sha256.js"

export const make = (baseModels: ReadonlyArray<BaseModel>) => {
  const repositories = new Map<string, BaseModel>()
  for (const namesOf of [ownNames, otherNames]) {
    for (const model of baseModels) {
      for (const name of namesOf(model)) if (!repositories.has(name)) repositories.set(name, model)
    }
  }

  const contents = new Map<BaseModel, Contents>()
  /** The contents of a model, as they are when somebody asks first. */
  const contentsOf = (model: BaseModel) =>
    Effect.gen(function*() {
      const known = contents.get(model)
      if (known !== undefined) return known
      const files: Array<File> = []
      for (const [name, read] of model.files ?? []) {
        const bytes = yield* readable(read)
        files.push({ name, sizeBytes: bytes.length, sha256: yield* Sha256.of(bytes) })
      }
      const all = new TextEncoder().encode(files.map(({ name, sha256 }) => `${name} ${sha256}\n`).join(""))
      // Of as many digits as those of Git, by which clients tell them.
      const found = { commit: (yield* Sha256.of(all)).slice(0, 40), files }
      contents.set(model, found)
      return found
    })

  /** What the path of a request names. */
  const repository = ({ params }: Http.Received) =>
    Effect.gen(function*() {
      const name = params.org === undefined ? params.model! : `${params.org}/${params.model}`
      const model = repositories.get(name)
      if (model === undefined) {
        return yield* Http.refuse(404, `this server has no base model ${name}`, { "x-error-code": "RepoNotFound" })
      }
      const { commit, files } = yield* contentsOf(model)
      const { revision = "main" } = params
      if (revision !== "main" && revision !== commit) {
        return yield* Http.refuse(404, `${name} has here the revision main alone`, {
          "x-error-code": "RevisionNotFound"
        })
      }
      return { name, model, commit, files }
    })

  const file: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { commit, files, model, name } = yield* repository(request)
      const found = files.find((one) => one.name === request.params.file)
      if (found === undefined) return yield* missing(`${name} has no file ${request.params.file} for clients`, commit)
      const bytes = yield* readable(model.files!.get(found.name)!)
      if ((yield* Sha256.of(bytes)) !== found.sha256) {
        return yield* Http.refuse(500, `${found.name} of ${name} was changed while the server ran: start it anew`)
      }
      return yield* FileAnswer.send(request, StoredFile.ofBytes(bytes), {
        etag: `"${found.sha256}"`,
        "x-repo-commit": commit
      })
    })

  const model: Http.Handler = (request) =>
    Effect.map(repository(request), ({ commit, files, name }) =>
      Http.json({
        id: name,
        modelId: name,
        sha: commit,
        private: false,
        gated: false,
        disabled: false,
        tags: ["transformers"],
        library_name: "transformers",
        siblings: files.map(({ name }) => ({ rfilename: name }))
      }))

  const tree: Http.Handler = (request) =>
    Effect.gen(function*() {
      const { commit, files, name } = yield* repository(request)
      const { folder } = request.params
      if (folder !== undefined) return yield* missing(`${name} has no folder ${folder} for clients`, commit)
      return Http.json(
        files.map(({ name, sha256, sizeBytes }) => ({
          type: "file",
          path: name,
          size: sizeBytes,
          oid: sha256.slice(0, 40)
        }))
      )
    })

  return { file, model, tree }
}

interface Contents {
  readonly commit: string
  readonly files: ReadonlyArray<File>
}

interface File {
  readonly name: string
  readonly sizeBytes: number
  readonly sha256: string
}

const readable = <A>(read: Effect.Effect<A, EngineError>): Effect.Effect<A, Http.Refusal> =>
  Effect.mapError(read, ({ description }) => Http.refuse(500, description))

/** The commit lets clients remember that there is no such file. */
const missing = (detail: string, commit: string) =>
  Http.refuse(404, detail, { "x-error-code": "EntryNotFound", "x-repo-commit": commit })

const ownNames = ({ name, tokenizerId }: BaseModel): ReadonlyArray<string> => [name, tokenizerId]

/**
 * What clients make of a model's name to load its tokenizer: without a variant behind a colon or a second slash, and, as the
 * original ones are not for everybody, another name for all of Llama 3. Source: the Python SDK 0.38.0.
 */
const otherNames = ({ name }: BaseModel): ReadonlyArray<string> => {
  const hubName = name.split(":")[0]!.split("/").slice(0, 2).join("/")
  return hubName.startsWith("meta-llama/Llama-3") ? [hubName, llama3Tokenizer] : [hubName]
}

const llama3Tokenizer = "thinkingmachineslabinc/meta-llama-3-instruct-tokenizer"
