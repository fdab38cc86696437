import { Effect } from "effect"
import { createHash } from "node:crypto"
import { createServer, type IncomingHttpHeaders, type Server } from "node:http"
import type { AddressInfo } from "node:net"

export interface Received {
  readonly method: string
  /** With what stands behind the question mark. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** Whether it came to the host of signed addresses. */
  readonly isSigned: boolean
}

export interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: unknown
  readonly text?: string
  /** Closes the connection instead. */
  readonly isCut?: boolean
}

export interface Options {
  /** Names that are large files, and in parts of how many bytes; whole without. */
  readonly large?: Readonly<Record<string, number | undefined>>
  readonly ignored?: ReadonlyArray<string>
  /** Objects that are there already, by their SHA-256. */
  readonly present?: ReadonlyArray<string>
  readonly verifies?: boolean
  /** Repositories that are there, with their branches' model cards. */
  readonly repositories?: Readonly<
    Record<string, { readonly private: boolean; readonly cards: Readonly<Record<string, string | undefined>> }>
  >
  /** Answers before anything else does, unless it has none. */
  readonly first?: (request: Received, count: number) => Reply | undefined
}

export const token = "hf_secret"

/** A Hub on loopback, and another host for the addresses that it signs. */
export const fakeHub = (options: Options = {}) =>
  Effect.gen(function*() {
    const received: Array<Received> = []
    const counts = new Map<string, number>()
    const branches = new Map<string, Map<string, string | undefined>>(
      Object.entries(options.repositories ?? {}).map(([id, { cards }]) => [id, new Map(Object.entries(cards))])
    )
    const privacy = new Map<string, boolean>(
      Object.entries(options.repositories ?? {}).map(([id, one]) => [id, one.private])
    )
    const objects = new Map<string, Buffer>()
    const parts = new Map<string, Map<number, Buffer>>()
    const commits: Array<
      {
        readonly repo: string
        readonly revision: string
        readonly isPull: boolean
        readonly lines: ReadonlyArray<CommitLine>
      }
    > = []
    let address = ""
    let signed = ""

    const reply = (request: Received): Reply => {
      const { body, headers, isSigned, path } = request
      const json = (): Record<string, never> => JSON.parse(body.toString("utf8"))
      const [pathname = "", query = ""] = path.split("?")
      const names = pathname.split("/").slice(1).map(decodeURIComponent)
      if (isSigned) {
        if (headers.authorization !== undefined) return { status: 400, text: "a signed address and a token" }
        const [kind, oid = "", part] = names
        if (kind === "whole") {
          objects.set(oid, body)
          return { status: 200 }
        }
        if (kind === "part") {
          if (!parts.has(oid)) parts.set(oid, new Map())
          parts.get(oid)!.set(Number(part), body)
          return { status: 200, headers: { etag: `"etag-${part}"` } }
        }
        if (kind === "complete") {
          const given: ReadonlyArray<{ partNumber: number; etag: string }> = json().parts as never
          if (!given.every(({ etag, partNumber }) => etag === `"etag-${partNumber}"`)) return { status: 400 }
          objects.set(oid, Buffer.concat(given.map(({ partNumber }) => parts.get(oid)!.get(partNumber)!)))
          return { status: 200, json: {} }
        }
        return { status: 404 }
      }
      if (headers.authorization !== `Bearer ${token}`) return { status: 401, json: { error: "Invalid credentials" } }
      if (pathname === "/api/whoami-v2") {
        return { status: 200, json: { name: "ada", auth: { accessToken: { role: "write" } } } }
      }
      if (pathname === "/api/repos/create") {
        const { name, organization, private: isPrivate } = json() as unknown as {
          name: string
          organization?: string
          private: boolean
        }
        const id = `${organization ?? "ada"}/${name}`
        if (branches.has(id)) {
          return { status: 409, json: { error: "You already created this model repo" } }
        }
        branches.set(id, new Map([["main", undefined]]))
        privacy.set(id, isPrivate)
        return { status: 200, json: { url: `${address}/${id}`, name: id } }
      }
      const id = names[0] === "api" ? `${names[2]}/${names[3]}` : `${names[0]}/${names[1]!.replace(/\.git$/, "")}`
      const repository = branches.get(id)
      if (repository === undefined) return { status: 404, json: { error: "Repository not found" } }
      const rest = names[0] === "api" ? names.slice(4) : names.slice(2)
      const revision = rest[1] ?? ""
      switch (rest[0]) {
        case undefined:
          return { status: 200, json: { id, private: privacy.get(id) } }
        case "revision":
          return repository.has(revision) ? { status: 200, json: {} } : { status: 404, json: { error: "Invalid rev" } }
        case "branch":
          repository.set(revision, repository.get("main"))
          return { status: 200, json: {} }
        case "resolve": {
          const card = repository.get(revision)
          return card === undefined ? { status: 404 } : { status: 200, text: card }
        }
        case "preupload": {
          const files = json().files as unknown as ReadonlyArray<{ path: string; size: number; sample: string }>
          return {
            status: 200,
            json: {
              files: files.map(({ path }) => ({
                path,
                uploadMode: Object.hasOwn(options.large ?? {}, path) ? "lfs" : "regular",
                shouldIgnore: options.ignored?.includes(path) ?? false
              }))
            }
          }
        }
        case "info": {
          const wanted = json().objects as unknown as ReadonlyArray<{ oid: string; size: number }>
          const chunk = Object.values(options.large ?? {}).find((one) => one !== undefined)
          return {
            status: 200,
            json: {
              objects: wanted.map(({ oid, size }) => ({
                oid,
                size,
                ...(options.present?.includes("all") ? {} : {
                  actions: {
                    upload: chunk === undefined ? { href: `${signed}/whole/${oid}` } : {
                      href: `${signed}/complete/${oid}`,
                      header: {
                        chunk_size: String(chunk),
                        ...Object.fromEntries(
                          Array.from({ length: Math.ceil(size / chunk) }, (_, index) => [
                            String(index + 1).padStart(5, "0"),
                            `${signed}/part/${oid}/${index + 1}`
                          ])
                        )
                      }
                    },
                    ...(options.verifies === true ? { verify: { href: `${address}/${id}/verify` } } : {})
                  }
                })
              }))
            }
          }
        }
        case "verify": {
          const { oid, size } = json() as unknown as { oid: string; size: number }
          return { status: objects.get(oid)?.length === size ? 200 : 400 }
        }
        case "commit": {
          if (!repository.has(revision)) return { status: 404, json: { error: "Invalid rev" } }
          const lines = body.toString("utf8").trimEnd().split("\n").map((line) => JSON.parse(line))
          const isPull = query === "create_pr=1"
          commits.push({ repo: id, revision, isPull, lines })
          return {
            status: 200,
            json: {
              commitOid: "c0ffee",
              commitUrl: `${address}/${id}/commit/c0ffee`,
              ...(isPull ? { pullRequestUrl: `${address}/${id}/discussions/1` } : {})
            }
          }
        }
      }
      return { status: 404 }
    }

    const listening = (isSigned: boolean) =>
      Effect.acquireRelease(
        Effect.async<Server>((resume) => {
          const server = createServer((request, response) => {
            const body: Array<Buffer> = []
            request.on("data", (part: Buffer) => body.push(part))
            request.on("end", () => {
              const one: Received = {
                method: request.method!,
                path: request.url!,
                headers: request.headers,
                body: Buffer.concat(body),
                isSigned
              }
              received.push(one)
              const key = `${one.method} ${one.path}`
              counts.set(key, (counts.get(key) ?? 0) + 1)
              const { headers, isCut, json, status, text } = options.first?.(one, counts.get(key)!) ?? reply(one)
              if (isCut === true) return void request.socket.destroy()
              response.writeHead(status, headers)
              response.end(json === undefined ? text ?? "" : JSON.stringify(json))
            })
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) =>
          Effect.sync(() => {
            server.closeAllConnections()
            server.close()
          })
      )
    const urlOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    address = urlOf(yield* listening(false))
    signed = urlOf(yield* listening(true))
    return {
      url: address,
      signedUrl: signed,
      env: { HF_ENDPOINT: address, HF_TOKEN: token, HF_HOME: "/nowhere" },
      received,
      branches,
      privacy,
      commits,
      /** What was uploaded, by its name in the last commit. */
      content: (name: string): Buffer | undefined => {
        const value = commits.at(-1)?.lines.map((line) => line.value).find((value) => value.path === name)
        return value === undefined
          ? undefined
          : value.encoding === "base64"
          ? Buffer.from(value.content!, "base64")
          : objects.get(value.oid!)
      },
      asked: (method: string, path: RegExp) => received.filter((one) => one.method === method && path.test(one.path))
    }
  })

interface CommitLine {
  readonly key: string
  readonly value: {
    readonly path?: string
    readonly encoding?: string
    readonly content?: string
    readonly oid?: string
    readonly size?: number
    readonly summary?: string
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
