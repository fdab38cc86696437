/**
 * Whom a server does not answer that asks for no keys. Every page that a browser of this machine shows can send it requests: simple
 * ones from its own origin, and any at all once the name of its site leads to this machine.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Http from "./http.js"
import * as Sender from "./sender.js"

/** Why a request is not answered, if it is not. Those that come from this very process are. */
export type RefusalOf = (request: HttpServerRequest.HttpServerRequest) => Http.Refusal | undefined

/**
 * Names that are allowed beside those of this machine are with or without a port; `*` allows all, and then nothing is refused but
 * for what the body is. `originOf` gives the server's own origin, whose pages may ask.
 */
export const make = (
  allowed: ReadonlyArray<string>,
  originOf: (request: HttpServerRequest.HttpServerRequest) => () => string
): RefusalOf => {
  const names = new Set(allowed.map(plain))
  const isAllowed = (host: string) => names.has("*") || names.has(host) || names.has(withoutPort(host))
  /** The last that is answered whatever the address: nearly all requests name the same. */
  let known: string | undefined

  return (request) => {
    if (Sender.isInProcess(request)) return undefined
    const host = plain(request.headers.host ?? "")
    if (host !== known) {
      if (isAllowed(host) || isLoopbackName(withoutPort(host))) known = host
      else if (!isOwnAddress(host, request)) {
        return Http.refuse(
          403,
          `without keys this server answers to names of its own machine alone, not to ${
            request.headers.host || "none"
          }: call it by localhost or 127.0.0.1, or allow the name where it is started`,
          closing
        )
      }
    }
    const { origin } = request.headers
    if (origin !== undefined && !isAllowed(plain(hostOf(origin))) && !isOwn(origin, host, originOf(request)())) {
      return Http.refuse(
        403,
        `without keys this server answers to no pages of others, such as ${origin}: allow their host where it is started`,
        closing
      )
    }
    return hasBody(request) && !isTyped(request.headers["content-type"])
      ? Http.refuse(415, `bodies are taken as application/json or ${Http.protobufType} alone`, closing)
      : undefined
  }
}

/** What is left of the body is not waited for. */
const closing = { connection: "close" }

/** Whether an origin is the server's: as it knows it itself, or by the name that it was called by, whatever secures the way to it. */
const isOwn = (origin: string, host: string, own: string): boolean => {
  const given = normal(origin)
  return given !== undefined && (given === normal(own) || given === normal(`${origin.split(":")[0]}://${host}`))
}

/** An origin in the one form that it has: without the port that its scheme has anyway. */
const normal = (origin: string): string | undefined => {
  const [scheme] = origin.toLowerCase().split(":")
  const host = plain(hostOf(origin)).replace(scheme === "https" ? /:443$/ : /:80$/, "")
  return host === "" ? undefined : `${scheme}://${host}`
}

/** A host in small letters, and without the full stop with which a name may end. */
const plain = (host: string): string => host.toLowerCase().replace(/\.(?=(:\d+)?$)/, "")

const withoutPort = (host: string): string => host.replace(/:\d+$/, "")

/** The host of an origin. Of `null`, which pages without an origin say, it is nothing. */
const hostOf = (origin: string): string => /^https?:\/\/(.+)$/.exec(origin.toLowerCase())?.[1] ?? ""

const isLoopbackName = (name: string): boolean =>
  name === "localhost" || name === "[::1]" || /^127(\.\d{1,3}){3}$/.test(name)

/** No name of a site can be made to look like an address. */
const isAddress = (name: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[0-9a-f:.]+\]$/.test(name)

const isOwnAddress = (host: string, request: HttpServerRequest.HttpServerRequest): boolean => {
  const name = withoutPort(host)
  const address = Sender.localAddress(request)
  return address !== undefined && !isLoopbackName(Sender.inUrl(address)) && isAddress(name)
}

const hasBody = ({ headers }: HttpServerRequest.HttpServerRequest): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"

const isTyped = (contentType: string | undefined): boolean => {
  // What nearly all clients say, to the letter.
  if (contentType === "application/json" || contentType === Http.protobufType) return true
  const type = contentType?.split(";")[0]!.trim().toLowerCase()
  return type === "application/json" || type === Http.protobufType
}
