/**
 * Pushes folders to repositories of the Hugging Face Hub, by the protocol of its own client. Files go as they are read, never whole in memory.
 *
 * Source of the protocol: huggingface_hub 2.4.0.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import { CommandFailed, failed } from "./Failure.js"
import * as Commit from "./internal/hub/commit.js"
import * as FileFilter from "./internal/hub/fileFilter.js"
import * as HubRequests from "./internal/hub/hubRequests.js"
import * as LfsUpload from "./internal/hub/lfsUpload.js"
import * as JsonObject from "./internal/jsonObject.js"
import type * as Output from "./Output.js"

/**
 * The Hub as one of its users. Requests are sent again where that may help, after as long as the Hub asks for; failures are
 * `CommandFailed`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Who the token is of. Fails where it may only read. */
  readonly whoami: Effect.Effect<string, CommandFailed, Output.Output>
  /** Makes a repository, unless it is there; one without a namespace is `user`'s. */
  readonly createRepository: (
    id: string,
    options: { readonly user: string; readonly isPublic: boolean }
  ) => Effect.Effect<Repository, CommandFailed, Output.Output>
  /** The text of the model card; none where there is no card, or no such branch. */
  readonly modelCard: (
    repo: string,
    revision: string
  ) => Effect.Effect<string | undefined, CommandFailed, Output.Output>
  /** Makes a branch, from the main one, unless it is there. */
  readonly ensureBranch: (repo: string, revision: string) => Effect.Effect<void, CommandFailed, Output.Output>
  readonly push: (
    options: PushOptions
  ) => Effect.Effect<
    Pushed,
    CommandFailed | PlatformError,
    Output.Output | FileSystem.FileSystem | Path.Path
  >
}

/**
 * A repository, by its whole id.
 *
 * @since 0.1.0
 * @category models
 */
export interface Repository {
  readonly id: string
  readonly isPublic: boolean
  readonly url: string
}

/**
 * What is pushed, and where to.
 *
 * - `isPullRequest`: whether the commit is proposed, and not made
 * - `onSent`: hears of bytes of large files as they go, less than none for those that are sent again
 *
 * @since 0.1.0
 * @category models
 */
export interface PushOptions {
  readonly repo: string
  readonly revision: string
  readonly folder: string
  readonly files: ReadonlyArray<string>
  readonly summary: string
  readonly isPullRequest: boolean
  readonly onSent: (file: string, bytes: number, size: number) => Effect.Effect<void>
}

/**
 * What came of it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Pushed {
  readonly files: ReadonlyArray<string>
  readonly bytes: number
  readonly commit: string | undefined
  readonly commitUrl: string | undefined
  readonly pullRequestUrl: string | undefined
}

/**
 * The address of the Hub, unless `HF_ENDPOINT` says another.
 *
 * @since 0.1.0
 * @category config
 */
export const defaultEndpoint: string = HubRequests.hosted

/**
 * Makes a test of files' names, of patterns as the Hub's own client has them: `*` also goes over slashes, and a slash at the end means all
 * that is under it.
 *
 * @since 0.1.0
 * @category utils
 */
export const filter = FileFilter.make

/**
 * Makes the Hub at an address, as the user of a token.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  endpoint: string,
  token: Redacted.Redacted
): Effect.Effect<Service, never, HttpClient.HttpClient> =>
  Effect.map(HubRequests.make(endpoint, token), (requests) => ({
    whoami: whoami(requests),
    createRepository: (id, options) => createRepository(requests, id, options),
    modelCard: (repo, revision) => modelCard(requests, repo, revision),
    ensureBranch: (repo, revision) => ensureBranch(requests, repo, revision),
    push: (options) => push(requests, options)
  }))

const whoami = (requests: HubRequests.HubRequests) =>
  Effect.gen(function*() {
    const request = { what: "asking whose the Hugging Face token is", method: "GET", url: "/api/whoami-v2" } as const
    const answer = yield* requests.send(request)
    if (answer.status === 404 || answer.status === 405) {
      return yield* new CommandFailed({
        code: "unsupported",
        exitCode: 1,
        status: answer.status,
        message:
          `nothing can be pushed to ${requests.endpoint}: it is no Hugging Face Hub, or one that only gives files out, as a Tinker server `
          + "on this machine does. Set HF_ENDPOINT to the Hub's address, or leave it unset."
      })
    }
    if (answer.status >= 400) return yield* requests.refused(request, answer)
    const { auth, name } = answer.json
    if (typeof name !== "string") return yield* failed(`${requests.endpoint} does not say whose the token is.`)
    const access = JsonObject.isObject(auth) && JsonObject.isObject(auth.accessToken)
      ? auth.accessToken.role
      : undefined
    if (access === "read") {
      return yield* new CommandFailed({
        code: "permission_denied",
        exitCode: 1,
        message: `the Hugging Face token of ${name} may only read. Make one that may write, and set HF_TOKEN.`
      })
    }
    return name
  })

const createRepository = (
  requests: HubRequests.HubRequests,
  id: string,
  { isPublic, user }: { readonly user: string; readonly isPublic: boolean }
) =>
  Effect.gen(function*() {
    const [name = "", organization] = id.split("/").toReversed()
    const request = {
      what: `making the repository ${id}`,
      method: "POST",
      url: "/api/repos/create",
      json: { name, ...(organization === undefined ? {} : { organization }), private: !isPublic }
    } as const
    const answer = yield* requests.send(request)
    const known = organization === undefined ? `${user}/${name}` : id
    if (answer.status < 300) {
      return { id: idOf(answer.json.url) ?? known, isPublic, url: urlOf(requests, idOf(answer.json.url) ?? known) }
    }
    // Who may write to it alone may not make it either.
    if (answer.status !== 409 && answer.status !== 403) return yield* requests.refused(request, answer)
    const there = yield* requests.send({
      what: `asking for the repository ${known}`,
      method: "GET",
      url: `/api/models/${known}`
    })
    if (there.status >= 400) return yield* requests.refused(request, answer)
    const real = typeof there.json.id === "string" && isId(there.json.id) ? there.json.id : known
    return { id: real, isPublic: there.json.private === false, url: urlOf(requests, real) }
  })

const urlOf = ({ endpoint }: HubRequests.HubRequests, id: string): string => `${endpoint}/${id}`

const isId = (text: string): boolean => /^[\w.-]+\/[\w.-]+$/.test(text)

/** The last two names of a repository's address. */
const idOf = (url: unknown): string | undefined => {
  if (typeof url !== "string" || !URL.canParse(url)) return undefined
  const id = new URL(url).pathname.split("/").filter((name) => name !== "").slice(-2).join("/")
  return isId(id) ? id : undefined
}

const modelCard = (requests: HubRequests.HubRequests, repo: string, revision: string) =>
  Effect.gen(function*() {
    const request = {
      what: `reading the model card of ${repo}`,
      method: "GET",
      url: `/${repo}/resolve/${encodeURIComponent(revision)}/README.md`
    } as const
    const answer = yield* requests.send(request)
    if (answer.status === 404) return undefined
    return answer.status >= 400 ? yield* requests.refused(request, answer) : answer.text
  })

const ensureBranch = (requests: HubRequests.HubRequests, repo: string, revision: string) =>
  Effect.gen(function*() {
    const name = encodeURIComponent(revision)
    const look = {
      what: `looking for the branch ${revision}`,
      method: "GET",
      url: `/api/models/${repo}/revision/${name}`
    } as const
    const found = yield* requests.send(look)
    if (found.status < 400) return
    // What is under refs belongs to pull requests.
    if (found.status !== 404 || revision.startsWith("refs/")) return yield* requests.refused(look, found)
    const create = {
      what: `making the branch ${revision}`,
      method: "POST",
      url: `/api/models/${repo}/branch/${name}`,
      json: {}
    } as const
    const made = yield* requests.send(create)
    if (made.status >= 400 && made.status !== 409) return yield* requests.refused(create, made)
  })

/** What the Hub sees of a file before it decides whether it is large. Source: huggingface_hub 2.4.0. */
const sampleBytes = 512

const push = (
  requests: HubRequests.HubRequests,
  { files: names, folder, isPullRequest, onSent, repo, revision, summary }: PushOptions
) =>
  Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const rev = encodeURIComponent(revision)
    const query = isPullRequest ? "?create_pr=1" : ""
    const all = yield* Effect.forEach(names, (name) =>
      Effect.map(files.stat(path.join(folder, name)), ({ size }): LfsUpload.LocalFile => ({
        name: name.split(path.sep).join("/"),
        place: path.join(folder, name),
        size: Number(size)
      })))
    const small: Array<LfsUpload.LocalFile> = []
    const large: Array<LfsUpload.LfsFile> = []
    for (let at = 0; at < all.length; at += LfsUpload.askedAtOnce) {
      const asked = all.slice(at, at + LfsUpload.askedAtOnce)
      const samples = yield* Effect.forEach(asked, ({ name, place, size }) =>
        Effect.map(sampleOf(place), (sample) => ({ path: name, size, sample })))
      const answer = yield* requests.ask({
        what: "asking how files are to be uploaded",
        method: "POST",
        url: `/api/models/${repo}/preupload/${rev}${query}`,
        json: { files: samples }
      })
      const given = Array.isArray(answer.json.files) ? answer.json.files.filter(JsonObject.isObject) : []
      for (const file of asked) {
        const mode = given.find((one) =>
          one.path === file.name
        )
        if (mode?.shouldIgnore === true) {
          continue
        }
        // Where large files are kept there is no place for empty ones.
        if (mode?.uploadMode === "lfs" && file.size > 0) {
          large.push({ ...file, sha256: yield* LfsUpload.sha256Of(file.place) })
        } else small.push(file)
      }
    }
    const pushed = [...small, ...large]
    if (pushed.length === 0) {
      return yield* failed(`${repo} ignores all of these files, and nothing was pushed.`)
    }
    yield* LfsUpload.upload(requests, {
      repo,
      revision,
      given: large,
      onSent: ({ name, size }, bytes) =>
        onSent(name, bytes, size)
    })
    const { bytes, length } = yield* Commit.encode({ summary, small, large })
    const { json } = yield* requests.ask({
      what: `making the commit in ${repo}`,
      method: "POST",
      url: `/api/models/${repo}/commit/${rev}${query}`,
      stream: { bytes, length, type: "application/x-ndjson" },
      isOnce: true
    })
    return {
      files: pushed.map(({ name }) =>
        name
      ).toSorted(),
      bytes: pushed.reduce((sum, { size }) => sum + size, 0),
      commit: textOf(json.commitOid),
      commitUrl: textOf(json.commitUrl),
      pullRequestUrl: textOf(json.pullRequestUrl)
    }
  })

const textOf = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** The first bytes of a file, in base64. */
const sampleOf = (place: string) =>
  Effect.scoped(Effect.gen(function*() {
    const files = yield* FileSystem.FileSystem
    const file = yield* files.open(place)
    const start = yield* file.readAlloc(sampleBytes)
    return start._tag === "None" ? "" : Buffer.from(start.value).toString("base64")
  }))
