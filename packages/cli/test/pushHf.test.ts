import { BigramEngine } from "@effect-tinker/engine"
import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as HuggingFaceHub from "../src/HuggingFaceHub.js"
import { fakeHub, type Options, sha256, token } from "./hub.js"
import { folder, server } from "./program.js"
import * as Trainings from "./trainings.js"

/** A server with a checkpoint, a Hub, and what pushes from the one to the other. */
const arranged = (options: Options = {}) =>
  Effect.gen(function*() {
    const { faults, line, url } = yield* server()
    const [path = ""] = yield* Trainings.save(url, ["final"])
    const hub = yield* fakeHub(options)
    const place = yield* folder
    const out = join(place, "adapter")
    assert.strictEqual((yield* line(["checkpoint", "export", path, "-o", out])).code, 0)
    return {
      hub,
      faults,
      path,
      line,
      runId: path.split("/")[2]!,
      weights: readFileSync(join(out, "adapter_model.safetensors")),
      push: (...words: ReadonlyArray<string>) => line(["checkpoint", "push-hf", path, ...words], { env: hub.env })
    }
  })

const config = "adapter_config.json"
const weightsFile = "adapter_model.safetensors"

it.scopedLive("pushes an adapter to a private repository of the token's user, on a branch of the checkpoint's name", () =>
  Effect.gen(function*() {
    const { hub, path, push, runId, weights } = yield* arranged({ large: { [weightsFile]: undefined }, verifies: true })
    const ended = yield* push("--json")
    assert.strictEqual(ended.code, 0, ended.stderr)
    const name = `tinker-${BigramEngine.defaultBaseModel}-${runId}`.replace(/[^\w.-]/g, "-").replace(/-+/g, "-")
    const result = JSON.parse(ended.stdout)
    assert.deepInclude(result, {
      checkpoint_path: path,
      repo_id: `ada/${name}`,
      revision: "weights-final",
      public: false,
      commit: "c0ffee",
      commit_url: `${hub.url}/ada/${name}/commit/c0ffee`,
      url: `${hub.url}/ada/${name}`,
      files: ["README.md", config, weightsFile]
    })
    assert.notProperty(result, "pull_request_url")
    assert.isTrue(hub.privacy.get(`ada/${name}`))
    assert.isTrue(hub.branches.get(`ada/${name}`)!.has("weights-final"))
    const [commit] = hub.commits
    assert.deepInclude(commit, { repo: `ada/${name}`, revision: "weights-final", isPull: false })
    assert.strictEqual(commit!.lines[0]!.value.summary, `Upload ${path}`)
    assert.isTrue(hub.content(weightsFile)!.equals(weights))
    assert.deepInclude(commit!.lines.find(({ key }) => key === "lfsFile")!.value, {
      oid: sha256(weights),
      size: weights.length
    })
    assert.strictEqual(JSON.parse(hub.content(config)!.toString()).peft_type, "LORA")
    const card = hub.content("README.md")!.toString()
    assert.match(
      card,
      new RegExp(`^---\nbase_model: "${BigramEngine.defaultBaseModel}"\nlibrary_name: peft\ntags:\n- tinker\n`)
    )
    assert.include(card, `\ntinker_path: "${path}"\n---\n`)
    assert.include(card, `PeftModel.from_pretrained(base, "ada/${name}", revision="weights-final")`)
    assert.include(card, "- LoRA rank: 4\n")
    // Each in its own words: what is large by its address alone, and without the token.
    const [put] = hub.asked("PUT", /^\/whole\//)
    assert.isTrue(put!.isSigned)
    assert.strictEqual(put!.headers["content-length"], String(weights.length))
    assert.isFalse(hub.received.some((one) => one.isSigned && one.headers.authorization !== undefined))
    assert.strictEqual(hub.asked("POST", /\/verify$/)[0]!.headers.authorization, `Bearer ${token}`)
    const sample = JSON.parse(hub.asked("POST", /preupload/)[0]!.body.toString()).files.find(
      (file: { path: string }) => file.path === weightsFile
    )
    assert.deepStrictEqual(sample, {
      path: weightsFile,
      size: weights.length,
      sample: weights.subarray(0, 512).toString("base64")
    })
    assert.notInclude(ended.stdout + ended.stderr, token)
  }))

it.scopedLive("uploads in parts where the Hub asks for them, each again by itself when it fails", () =>
  Effect.gen(function*() {
    const chunk = 1000
    const { hub, push, weights } = yield* arranged({
      large: { [weightsFile]: chunk },
      first: ({ method, path }, count) =>
        method !== "PUT" || count > 1
          ? undefined
          : path.endsWith("/2")
          ? { status: 503, headers: { "retry-after": "0" } }
          : path.endsWith("/3")
          ? { status: 200, isCut: true }
          : undefined
    })
    assert.isAbove(weights.length, 3 * chunk)
    const ended = yield* push("--repo", "lab/adapter")
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.strictEqual(ended.stdout, `${hub.url}/lab/adapter\n`)
    assert.isTrue(hub.content(weightsFile)!.equals(weights))
    const sent = (part: number) => hub.asked("PUT", new RegExp(`/part/.*/${part}$`))
    assert.deepStrictEqual([1, 2, 3].map((part) => sent(part).length), [1, 2, 2])
    assert.match(ended.stderr, /uploading adapter_model\.safetensors: it was answered 503\. Again in/)
    assert.strictEqual(hub.asked("POST", /^\/complete\//)[0]!.headers["content-type"], "application/vnd.git-lfs+json")
    assert.deepInclude(hub.commits[0], { repo: "lab/adapter", revision: "main" })
  }))

it.scopedLive("passes over what the Hub has already, and what it ignores", () =>
  Effect.gen(function*() {
    const { hub, push } = yield* arranged({ large: { [weightsFile]: undefined }, present: ["all"], ignored: [config] })
    const { code, stderr, stdout } = yield* push("--repo", "adapter", "--json")
    assert.strictEqual(code, 0, stderr)
    assert.deepStrictEqual(JSON.parse(stdout).files, ["README.md", weightsFile])
    assert.strictEqual(JSON.parse(stdout).repo_id, "ada/adapter")
    assert.strictEqual(hub.asked("PUT", /./).length, 0)
    assert.strictEqual(hub.commits.length, 1)
  }))

it.scopedLive("proposes a pull request to the main branch, makes no branch for it, and reports its address", () =>
  Effect.gen(function*() {
    const { hub, push, runId } = yield* arranged()
    const ended = yield* push("--create-pr", "--commit-message", "Look at this", "--public", "--json")
    const result = JSON.parse(ended.stdout)
    assert.match(result.pull_request_url, /\/discussions\/1$/)
    assert.deepInclude(result, { revision: "main", public: true })
    assert.include(result.repo_id, runId.replaceAll(":", "-"))
    assert.deepInclude(hub.commits[0], { isPull: true, revision: "main" })
    assert.strictEqual(hub.commits[0]!.lines[0]!.value.summary, "Look at this")
    assert.strictEqual(hub.asked("POST", /\/branch\//).length, 0)
    assert.match(hub.asked("POST", /preupload/)[0]!.path, /preupload\/main\?create_pr=1$/)
  }))

it.scopedLive("pushes to a repository that is there as it is, and does not write over another checkpoint's adapter by a slip", () =>
  Effect.gen(function*() {
    const { hub, path, push } = yield* arranged({
      repositories: { "ada/shared": { private: false, cards: { main: "of tinker://other/weights/a", dev: undefined } } }
    })
    const refused = yield* push("--repo", "ada/shared")
    assert.strictEqual(refused.code, 1)
    assert.match(refused.stderr, /ada\/shared is public: everybody sees/)
    assert.match(
      refused.stderr,
      /ada\/shared has on main what was made of tinker:\/\/other\/weights\/a, and nothing was pushed/
    )
    assert.strictEqual(hub.asked("POST", /preupload|branch/).length, 0)
    const elsewhere = yield* push("--repo", "shared", "--revision", "feature/one", "--no-model-card", "--json")
    assert.strictEqual(elsewhere.code, 0, elsewhere.stderr)
    assert.deepInclude(JSON.parse(elsewhere.stdout), { repo_id: "ada/shared", revision: "feature/one", public: true })
    assert.isTrue(hub.branches.get("ada/shared")!.has("feature/one"))
    assert.isUndefined(hub.content("README.md"))
    const over = yield* push("--repo", "ada/shared", "--overwrite", "--json")
    assert.strictEqual(over.code, 0, over.stderr)
    hub.branches.get("ada/shared")!.set("dev", `\`${path}\` (${path})`)
    assert.strictEqual((yield* push("--repo", "ada/shared", "--revision", "dev")).code, 0)
  }))

it.scopedLive("pushes to a repository that the token may write to and not make", () =>
  Effect.gen(function*() {
    const { hub, push } = yield* arranged({
      repositories: { "lab/there": { private: true, cards: { main: undefined } } },
      first: ({ path }) => path === "/api/repos/create" ? { status: 403, json: { error: "no" } } : undefined
    })
    const there = yield* push("--repo", "lab/there", "--public")
    assert.strictEqual(there.code, 0, there.stderr)
    assert.match(there.stderr, /lab\/there was there already and is private, which it stays/)
    const other = yield* push("--repo", "lab/other")
    assert.strictEqual(other.code, 1)
    assert.match(
      other.stderr,
      /making the repository lab\/other failed: .* answered 403 \(no\)\. The token may not do that/
    )
    assert.strictEqual(hub.commits.length, 1)
  }))

it.scopedLive("pushes the files that fit the patterns, and none where none does", () =>
  Effect.gen(function*() {
    const { hub, push } = yield* arranged()
    const names = () => hub.commits.at(-1)!.lines.flatMap(({ value }) => value.path ?? []).sort()
    yield* push("--repo", "a", "--allow-pattern", "*.json", "--allow-pattern", "README*")
    assert.deepStrictEqual(names(), ["README.md", config])
    yield* push("--repo", "a", "--ignore-pattern", "README.md", "--ignore-pattern", "*config*")
    assert.deepStrictEqual(names(), [weightsFile])
    const none = yield* push("--repo", "b", "--allow-pattern", "*.txt")
    assert.strictEqual(none.code, 2)
    assert.match(none.stderr, /no file is left to push by these patterns\. There are: adapter_config\.json/)
    assert.isFalse(hub.branches.has("ada/b"))
  }))

it("reads patterns as the Hub's own client does", () => {
  const fits = (allow: ReadonlyArray<string>, ignore: ReadonlyArray<string>, path: string) =>
    HuggingFaceHub.filter({ allow, ignore })(path)
  const cases: ReadonlyArray<readonly [pattern: string, path: string, fits: boolean]> = [
    ["*.json", "a/b.json", true],
    ["*.json", "a.jsonl", false],
    ["data/", "data/a/b", true],
    ["data/", "data", false],
    ["data", "data/a", false],
    ["?.bin", "a.bin", true],
    ["?.bin", "ab.bin", false],
    ["[ab].bin", "b.bin", true],
    ["[!ab].bin", "b.bin", false],
    ["[a-c]x", "bx", true],
    ["[]]x", "]x", true],
    ["[z-a]x", "zx", false],
    ["a[", "a[", true],
    ["a.b", "axb", false],
    ["a(b)|c+", "a(b)|c+", true],
    ["A", "a", false]
  ]
  for (const [pattern, path, expected] of cases) {
    assert.strictEqual(fits([pattern], [], path), expected, `${pattern} ${path}`)
    assert.strictEqual(fits([], [pattern], path), !expected, `${pattern} ${path}`)
  }
  assert.isFalse(fits(["*"], ["*.md"], "README.md"))
})

it.scopedLive("takes the token from the line, the input, the variables and the files, in this order", () =>
  Effect.gen(function*() {
    const { hub, line, path } = yield* arranged()
    const place = yield* folder
    mkdirSync(join(place, "huggingface"))
    const wrong = join(place, "wrong")
    writeFileSync(wrong, "hf_wrong\n")
    writeFileSync(join(place, "huggingface", "token"), `\n ${token} \n`)
    writeFileSync(join(place, "right"), token)
    const away = { HF_ENDPOINT: hub.url, HF_HOME: "/nowhere" }
    const pushing = (env: Record<string, string>, words: ReadonlyArray<string> = [], stdin = "") =>
      Effect.gen(function*() {
        const before = hub.received.length
        const ended = yield* line(["checkpoint", "push-hf", path, "--repo", "a", ...words], {
          env: { ...away, ...env },
          stdin
        })
        assert.notInclude(ended.stdout + ended.stderr, "hf_")
        return { ...ended, sent: hub.received[before]?.headers.authorization }
      })
    const good = `Bearer ${token}`
    const bad = "hf_wrong"
    const ways: ReadonlyArray<readonly [Record<string, string>, ReadonlyArray<string>, string]> = [
      [{ HF_TOKEN: bad }, ["--hf-token", token], ""],
      [{ HF_TOKEN: bad }, ["--hf-token-stdin"], `${token}\n`],
      [{ HF_TOKEN: ` ${token} `, HUGGING_FACE_HUB_TOKEN: bad, HF_TOKEN_PATH: wrong }, [], ""],
      [{ HF_TOKEN: " ", HUGGING_FACE_HUB_TOKEN: token, HF_TOKEN_PATH: wrong }, [], ""],
      [{ HF_TOKEN_PATH: join(place, "right"), HF_HOME: place }, [], ""],
      [{ HF_HOME: join(place, "huggingface") }, [], ""],
      [{ HF_HOME: "", XDG_CACHE_HOME: place }, [], ""]
    ]
    for (const [env, words, stdin] of ways) {
      const ended = yield* pushing(env, words, stdin)
      assert.deepStrictEqual([ended.code, ended.sent], [0, good], `${JSON.stringify(env)}: ${ended.stderr}`)
    }
    const none = yield* pushing({})
    assert.deepStrictEqual([none.code, none.sent], [3, undefined])
    assert.match(none.stderr, /there is no Hugging Face token\. Set HF_TOKEN, or log in with: hf auth login/)
    const refused = yield* pushing({ HF_TOKEN: bad })
    assert.strictEqual(refused.code, 3)
    assert.match(
      refused.stderr,
      /asking whose the Hugging Face token is failed: .* answered 401 \(Invalid credentials\)\. Is the token right\?/
    )
    for (
      const [words, stdin, says] of [
        [["--hf-token", token, "--hf-token-stdin"], token, /both given/],
        [["--hf-token-stdin"], "\n", /nothing on the standard input/],
        [["--hf-token", "two words"], "", /no token has/]
      ] as const
    ) {
      const ended = yield* pushing({}, words, stdin)
      assert.deepStrictEqual([ended.code, ended.sent], [2, undefined])
      assert.match(ended.stderr, says)
    }
  }))

it.scopedLive("refuses names that the Hub would refuse, and checkpoints for sampling, before anything is sent", () =>
  Effect.gen(function*() {
    const { hub, line, path, push } = yield* arranged()
    const wrong: ReadonlyArray<readonly [says: RegExp, words: ReadonlyArray<string>]> = [
      [/--repo is "a\/b\/c"; it must be a name/, ["--repo", "a/b/c"]],
      [/--repo is "a b"/, ["--repo", "a b"]],
      [/--repo is "a--b"/, ["--repo", "a--b"]],
      [/--repo is "x\/\.\."/, ["--repo", "x/.."]],
      [/--repo is "x\/"/, ["--repo", "x/"]],
      [/--revision is "a\.\.b", which is no name/, ["--revision", "a..b"]],
      [/--revision is "a b"/, ["--revision", "a b"]]
    ]
    for (const [says, words] of wrong) {
      const ended = yield* push(...words)
      assert.match(ended.stderr, says)
      assert.strictEqual(ended.code, 2)
    }
    const sampler = yield* line(["checkpoint", "push-hf", path.replace("/weights/", "/sampler_weights/")], {
      env: hub.env
    })
    assert.match(sampler.stderr, /saved for sampling/)
    const address = yield* line(["checkpoint", "push-hf", path], { env: { ...hub.env, HF_ENDPOINT: "hub" } })
    assert.match(address.stderr, /HF_ENDPOINT is "hub", which is no address/)
    assert.deepStrictEqual([sampler.code, address.code, hub.received.length], [2, 2, 0])
  }))

it.scopedLive("asks first whether the token may write, and says of a server that only gives files out that it does", () =>
  Effect.gen(function*() {
    const { faults, hub, line, path, push } = yield* arranged({
      first: ({ path }) =>
        path === "/api/whoami-v2"
          ? { status: 200, json: { name: "ada", auth: { accessToken: { role: "read" } } } }
          : undefined
    })
    const before = yield* faults.requestCounts
    const reading = yield* push()
    assert.strictEqual(reading.code, 1)
    assert.match(reading.stderr, /the Hugging Face token of ada may only read/)
    assert.strictEqual(hub.received.length, 1)
    const { url } = yield* server()
    const local = yield* line(["checkpoint", "push-hf", path], { env: { ...hub.env, HF_ENDPOINT: url } })
    assert.strictEqual(local.code, 1)
    assert.match(
      local.stderr,
      /nothing can be pushed to http:\S+: it is no Hugging Face Hub, or one that only gives files out/
    )
    const saves = (counts: ReadonlyMap<string, number>) =>
      Array.from(counts).filter(([path]) => /load_weights|save_weights/.test(path))
    assert.deepStrictEqual(saves(yield* faults.requestCounts), saves(before))
  }))

it.scopedLive("follows a repository that has moved, without the token to another host", () =>
  Effect.gen(function*() {
    let elsewhere = ""
    const { hub, push } = yield* arranged({
      repositories: { "ada/old": { private: true, cards: { main: "" } } },
      first: ({ isSigned, path }) =>
        isSigned && path === "/card"
          ? { status: 200, text: "of nothing" }
          : path.endsWith("/ada/old/revision/main")
          ? { status: 307, headers: { location: "/moved" } }
          : path === "/moved"
          ? { status: 200 }
          : path.endsWith("README.md")
          ? { status: 302, headers: { location: `${elsewhere}/card` } }
          : undefined
    })
    elsewhere = hub.signedUrl
    const ended = yield* push("--repo", "ada/old")
    assert.strictEqual(ended.code, 0, ended.stderr)
    assert.strictEqual(hub.asked("GET", /^\/moved$/)[0]!.headers.authorization, `Bearer ${token}`)
    assert.isUndefined(hub.asked("GET", /^\/card$/)[0]!.headers.authorization)
  }))

it.scopedLive("makes a commit once: it sends it again where the Hub was too busy, and not where it may have been made", () =>
  Effect.gen(function*() {
    let answers: ReadonlyArray<{ status: number; isCut?: boolean }> = []
    const { hub, push } = yield* arranged({
      first: ({ path }) => {
        if (!path.includes("/commit/")) return undefined
        const [next, ...rest] = answers
        answers = rest
        return next === undefined ? undefined : { ...next, headers: { "retry-after": "0" } }
      }
    })
    answers = [{ status: 429 }, { status: 503 }]
    assert.strictEqual((yield* push("--repo", "a")).code, 0)
    assert.strictEqual(hub.asked("POST", /\/commit\//).length, 3)
    answers = [{ status: 200, isCut: true }]
    const cut = yield* push("--repo", "a")
    assert.strictEqual(cut.code, 1)
    assert.match(
      cut.stderr,
      /making the commit in ada\/a failed: .* did not answer .*It may have been done all the same/
    )
    answers = [{ status: 500 }]
    const failed = yield* push("--repo", "a", "--json")
    assert.strictEqual(JSON.parse(failed.stderr.trim().split("\n").at(-1)!).error.code, "server")
    assert.strictEqual(hub.asked("POST", /\/commit\//).length, 5)
  }))

it.scopedLive("pushes nothing of a checkpoint whose adapter is missing or encrypted, and says why", () =>
  Effect.gen(function*() {
    const { faults, hub, push } = yield* arranged({
      first: ({ isSigned, method }) => isSigned && method === "GET" ? { status: 200, text: "{}" } : undefined
    })
    const cases: ReadonlyArray<readonly [says: RegExp, names: ReadonlyArray<string>]> = [
      [/has no adapter_config\.json and no adapter_model\.safetensors, and nothing was pushed/, ["notes.txt"]],
      [/has no adapter_model\.safetensors, and nothing/, [config]],
      [/the files of tinker:\S+ are encrypted, and nothing was pushed/, [`${config}.age`, `${weightsFile}.age`]]
    ]
    for (const [says, names] of cases) {
      yield* faults.plan({
        path: "training_runs/:id/checkpoints/:kind/:name/external_weights_urls",
        fault: Faults.answer(200, {
          body: {
            urls: Object.fromEntries(names.map((name) => [name, `${hub.signedUrl}/${name}`])),
            expires: "2099-01-01T00:00:00Z"
          }
        })
      })
      const ended = yield* push()
      assert.match(ended.stderr, says)
      assert.strictEqual(ended.code, 1)
    }
    assert.isFalse(hub.received.some(({ path }) => path === "/api/repos/create"))
  }))
