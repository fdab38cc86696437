import { Faults } from "@effect-tinker/server"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { folder, line, server } from "./program.js"

const keys = [{ name: "laptop", key: "tml-good" }]

const guarded = server({ protocol: { apiKeys: keys } })

it.scopedLive("stores a key that the service knows, readable by its owner alone, and uses it from then on", () =>
  Effect.gen(function*() {
    const { line } = yield* guarded
    const home = yield* folder
    const refused = yield* line(["run", "list"], { home, env: { TINKER_API_KEY: "tml-bad" } })
    assert.strictEqual(refused.code, 3)
    assert.notInclude(refused.stderr, "tml-bad")
    const login = yield* line(["auth", "login", "--with-token"], { home, stdin: "tml-good\n" })
    assert.deepStrictEqual([login.code, login.stdout], [0, "Stored the key laptop.\n"], login.stderr)
    const file = join(home, ".tinker", "credentials.json")
    assert.strictEqual(statSync(file).mode & 0o777, 0o600)
    assert.strictEqual(statSync(join(home, ".tinker")).mode & 0o777, 0o700)
    assert.include(readFileSync(file, "utf8"), "tml-good")
    assert.strictEqual((yield* line(["run", "list"], { home })).code, 0)
    const again = yield* line(["auth", "login", "--with-token"], { home, stdin: "tml-good" })
    assert.strictEqual(again.code, 1)
    assert.match(again.stderr, /there is a stored key already \(laptop\)\. Remove it first: tinker auth logout/)
    const logout = yield* line(["auth", "logout"], { home })
    assert.match(logout.stdout, /Removed the key laptop from this machine\. It stays valid/)
    assert.notInclude(readFileSync(file, "utf8"), "tml-good")
    const none = yield* line(["auth", "logout"], { home })
    assert.strictEqual(none.code, 1)
    for (const { stderr, stdout } of [login, again, logout]) assert.notInclude(stderr + stdout, "tml-good")
  }))

it.scopedLive("stores no key that the service refuses, nor one that is empty", () =>
  Effect.gen(function*() {
    const { line } = yield* guarded
    const home = yield* folder
    const bad = yield* line(["auth", "login", "--with-token"], { home, stdin: "tml-bad" })
    assert.strictEqual(bad.code, 3)
    assert.match(bad.stderr, /the service refuses this key, and it was not stored/)
    const empty = yield* line(["auth", "login"], { home, stdin: "" })
    assert.strictEqual(empty.code, 2)
    assert.match(empty.stderr, /no key was given/)
    assert.strictEqual((yield* line(["run", "list"], { home })).code, 3)
  }))

it.scopedLive("says that a variable goes before the key that is being stored", () =>
  Effect.gen(function*() {
    const { line } = yield* guarded
    const { code, stderr } = yield* line(["auth", "login"], {
      answers: ["tml-good"],
      env: { TINKER_API_KEY: "tml-good" }
    })
    assert.strictEqual(code, 0)
    assert.match(stderr, /warning: TINKER_API_KEY is set, and goes before the stored key/)
  }))

it.scopedLive("keeps a key for each profile, and the settings of one go behind the variables and before nothing", () =>
  Effect.gen(function*() {
    const { url } = yield* guarded
    const home = yield* folder
    mkdirSync(join(home, ".tinker"), { mode: 0o700 })
    const profiles = join(home, ".tinker", "profiles.json")
    writeFileSync(
      profiles,
      JSON.stringify({ profiles: { work: { base_url: url }, other: { base_url: "http://127.0.0.1:1" } } })
    )
    const login = yield* line(["auth", "login", "--with-token", "--profile", "work"], { home, stdin: "tml-good" })
    assert.strictEqual(login.stdout, "Stored the key laptop for the profile work.\n", login.stderr)
    assert.strictEqual((yield* line(["run", "list", "--profile", "work"], { home })).code, 0)
    assert.strictEqual((yield* line(["run", "list"], { home, env: { TINKER_PROFILE: "work" } })).code, 0)
    const variable = yield* line(["run", "list", "--profile", "other", "--timeout", "5s"], {
      home,
      env: { TINKER_BASE_URL: url, TINKER_API_KEY: "tml-good" }
    })
    assert.strictEqual(variable.code, 0)
    const option = yield* line(["run", "list", "--profile", "other", "--base-url", url], {
      home,
      env: { TINKER_API_KEY: "tml-good" }
    })
    assert.strictEqual(option.code, 0)
    const unknown = yield* line(["run", "list", "--profile", "wrok"], { home })
    assert.match(unknown.stderr, /there is no profile "wrok" in .*\. Was work meant\?/)
    writeFileSync(profiles, "{\"profiles\": {\"work\": {\"bas_url\": \"x\"}}}")
    const damaged = yield* line(["run", "list"], { home })
    assert.strictEqual(damaged.code, 2)
    assert.match(damaged.stderr, /^error: [^\n]*profiles\.json is not as profiles are: [^\n]+\n$/)
  }))

it.scopedLive("names a file of keys that is damaged or that others may read, in one line", () =>
  Effect.gen(function*() {
    const { line } = yield* guarded
    const home = yield* folder
    mkdirSync(join(home, ".tinker"), { mode: 0o700 })
    const file = join(home, ".tinker", "credentials.json")
    for (const command of [["run", "list"], ["auth", "login", "--with-token"], ["auth", "logout"]]) {
      writeFileSync(file, "{", { mode: 0o600 })
      assert.match(
        (yield* line(command, { home, stdin: "tml-good" })).stderr,
        /^error: [^\n]*credentials\.json is damaged[^\n]*\n$/
      )
    }
    writeFileSync(file, JSON.stringify({ version: 1, keys: {} }))
    yield* Effect.promise(() => import("node:fs/promises").then(({ chmod }) => chmod(file, 0o644)))
    assert.match((yield* line(["run", "list"], { home })).stderr, /may be read by others/)
  }))

it.scopedLive("says whether there is a credential, whether it is accepted, and whose it is", () =>
  Effect.gen(function*() {
    const { faults, line } = yield* server({ protocol: { apiKeys: keys, jwt: { lifetime: "1 hour" } } })
    const env = { TINKER_API_KEY: "tml-good" }
    assert.deepStrictEqual(yield* line(["auth", "status"], { env }), {
      code: 0,
      stdout: "Credentials available\tyes\nTinker accessible\tyes\n",
      stderr: ""
    })
    const none = yield* line(["auth", "status", "--json"])
    assert.strictEqual(none.code, 1)
    assert.deepStrictEqual(JSON.parse(none.stdout), { credentials_available: false, tinker_accessible: false })
    assert.strictEqual(JSON.parse(none.stderr).error.code, "not_authenticated")
    const refused = yield* line(["auth", "status", "--json"], { env: { TINKER_API_KEY: "tml-bad" } })
    assert.deepStrictEqual(JSON.parse(refused.stdout), { credentials_available: true, tinker_accessible: false })
    yield* faults.plan({
      path: "get_server_capabilities",
      fault: Faults.answer(402, { body: { detail: "no credit" } })
    })
    const billing = yield* line(["auth", "status", "--json"], { env })
    assert.deepInclude(JSON.parse(billing.stderr).error, { code: "billing", status: 402 })
    const whoami = JSON.parse((yield* line(["auth", "whoami", "--json"], { env })).stdout)
    assert.hasAllKeys(whoami, ["user_urn", "org_urn", "email"])
    const plain = yield* guarded
    const unknown = yield* plain.line(["auth", "whoami"], { env })
    assert.strictEqual(unknown.code, 1)
    assert.match(unknown.stderr, /the credential is a key, which does not tell whose it is/)
  }))

it.scopedLive("keeps the keys of two services apart which give them the same number, and misses one that is gone", () =>
  Effect.gen(function*() {
    // Servers number the keys of their file from 1 on.
    const a = yield* guarded
    const b = yield* server({ protocol: { apiKeys: [{ name: "desk", key: "tml-other" }] } })
    const home = yield* folder
    mkdirSync(join(home, ".tinker"), { mode: 0o700 })
    writeFileSync(
      join(home, ".tinker", "profiles.json"),
      JSON.stringify({
        profiles: { a: { base_url: a.url }, b: { base_url: b.url }, c: { base_url: a.url, key: "gone" } }
      })
    )
    const login = (profile: string, stdin: string) =>
      line(["auth", "login", "--with-token", "--profile", profile], { home, stdin })
    const listed = (profile: string) =>
      Effect.map(line(["run", "list", "--profile", profile], { home }), ({ code }) => code)
    assert.strictEqual((yield* login("a", "tml-good")).code, 0)
    assert.strictEqual((yield* login("b", "tml-other")).code, 0)
    assert.deepStrictEqual([yield* listed("a"), yield* listed("b")], [0, 0])
    assert.strictEqual((yield* line(["auth", "logout", "--profile", "b"], { home })).code, 0)
    assert.deepStrictEqual([yield* listed("a"), yield* listed("b")], [0, 3])
    const gone = yield* line(["run", "list", "--profile", "c"], { home })
    assert.strictEqual(gone.code, 3)
    assert.match(gone.stderr, /the key gone, which is to be used, is not in .*credentials\.json/)
    const lines = yield* line(["auth", "login", "--with-token", "--profile", "b"], { home, stdin: "tml-a\ntml-b\n" })
    assert.strictEqual(lines.code, 2)
  }))

it.scopedLive("takes the key out of the file that a link leads to", () =>
  Effect.gen(function*() {
    const { line } = yield* guarded
    const home = yield* folder
    mkdirSync(join(home, ".tinker"), { mode: 0o700 })
    const real = join(home, "real.json")
    writeFileSync(real, JSON.stringify({ version: 1, keys: {} }), { mode: 0o600 })
    yield* Effect.promise(() =>
      import("node:fs/promises").then(({ symlink }) => symlink(real, join(home, ".tinker", "credentials.json")))
    )
    assert.strictEqual((yield* line(["auth", "login", "--with-token"], { home, stdin: "tml-good" })).code, 0)
    assert.include(readFileSync(real, "utf8"), "tml-good")
    assert.strictEqual((yield* line(["auth", "logout"], { home })).code, 0)
    assert.notInclude(readFileSync(real, "utf8"), "tml-good")
  }))
