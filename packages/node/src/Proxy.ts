/**
 * Finds the proxy, if any, that requests of Node's client go through.
 *
 * The first of these that is there counts:
 *
 * 1. the option `proxy`
 * 2. `TINKER_PROXY`
 * 3. `HTTPS_PROXY` for addresses with `https`, `HTTP_PROXY` for those with `http`
 * 4. `ALL_PROXY`
 *
 * The standard variables are known in lower case too, which goes first. All traffic goes through tunnels (`CONNECT`), so that
 * the proxy sees where it goes and nothing else.
 */
import { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import * as Config from "effect/Config"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Encoding from "effect/Encoding"
import * as Redacted from "effect/Redacted"

/**
 * The proxy of a client, and the hosts that it reaches without one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Address of a proxy, e.g. `http://user:password@proxy.example:3128`; false: none, whatever the environment says. Default:
   * what the environment says.
   */
  readonly proxy?: string | Redacted.Redacted | false | undefined
  /**
   * Where requests go without a proxy, as `NO_PROXY` has it: names of hosts with all below them, addresses, each with a port
   * if it is meant for that alone, separated by commas; `*` is everywhere. Default: `NO_PROXY`, in lower case too.
   */
  readonly noProxy?: string | undefined
}

/**
 * A proxy, as its address says.
 *
 * @since 0.1.0
 * @category models
 */
export interface Proxy {
  readonly isSecure: boolean
  readonly hostname: string
  readonly port: number
  /** The header `Proxy-Authorization`, if the address has a user. */
  readonly authorization: Redacted.Redacted | undefined
  /** Where the address is from: a variable, or the option `proxy`. */
  readonly source: string
}

/**
 * The proxy for a target; none when it is reached directly.
 *
 * @since 0.1.0
 * @category models
 */
export type ProxyFor = (target: {
  readonly protocol: string
  readonly hostname: string
  /** The port; empty for that of the protocol. */
  readonly port: string
}) => Proxy | undefined

/**
 * Reads options and environment; absent when no request can need a proxy. `InvalidInputError` names the variable whose
 * address cannot be used, and does not repeat it: it may hold a password.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<ProxyFor | undefined, InvalidInputError> =>
  Effect.gen(function*() {
    if (options.proxy === false) return undefined
    const given = yield* parse("proxy", options.proxy)
    const one = given ?? (yield* fromEnvironment("TINKER_PROXY"))
    const all = one === undefined ? yield* fromEnvironment("all_proxy", "ALL_PROXY") : undefined
    const https = one ?? (yield* fromEnvironment("https_proxy", "HTTPS_PROXY")) ?? all
    const http = one ?? (yield* fromEnvironment("http_proxy", "HTTP_PROXY")) ?? all
    if (https === undefined && http === undefined) return undefined
    const noProxy = options.noProxy ?? (yield* variable("no_proxy", "NO_PROXY"))?.value ?? ""
    const isExempt = exemption(noProxy)
    return (target) => isExempt(target) ? undefined : target.protocol === "https:" ? https : http
  })

/**
 * Whether a target is reached directly, by the rules of `NO_PROXY`.
 *
 * @since 0.1.0
 * @category utils
 */
export const exemption = (noProxy: string): (target: Parameters<ProxyFor>[0]) => boolean => {
  const rules = noProxy.toLowerCase().split(/[\s,]+/).filter((rule) => rule !== "").map((rule) => {
    const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(rule) ?? [, undefined, rule]
    return { host: (bracketed ?? plain ?? "").replace(/^\*?\./, ""), port }
  })
  return ({ hostname, port, protocol }) => {
    const host = hostname.toLowerCase().replace(/^\[|\]$/g, "").replace(/\.$/, "")
    const actual = port === "" ? defaultPorts.get(protocol) : port
    return rules.some((rule) =>
      (rule.host === "*" || rule.host === host || host.endsWith(`.${rule.host}`))
      && (rule.port === undefined || rule.port === actual)
    )
  }
}

const defaultPorts = new Map([["http:", "80"], ["https:", "443"]])

/** The first variable that is set and not empty. */
const variable = (
  ...names: ReadonlyArray<string>
): Effect.Effect<{ readonly name: string; readonly value: string } | undefined, InvalidInputError> =>
  Effect.gen(function*() {
    for (const name of names) {
      const value = yield* Effect.catchAll(
        Config.string(name).pipe(Config.withDefault("")),
        (_: ConfigError.ConfigError) => Effect.fail(wrong(name, "it cannot be read"))
      )
      if (value.trim() !== "") return { name, value: value.trim() }
    }
    return undefined
  })

const fromEnvironment = (...names: ReadonlyArray<string>): Effect.Effect<Proxy | undefined, InvalidInputError> =>
  Effect.flatMap(
    variable(...names),
    (found) => found === undefined ? Effect.succeed(undefined) : parse(found.name, found.value)
  )

const parse = (
  source: string,
  value: string | Redacted.Redacted | undefined
): Effect.Effect<Proxy | undefined, InvalidInputError> =>
  Effect.suspend(() => {
    const text = (Redacted.isRedacted(value) ? Redacted.value(value) : value ?? "").trim()
    if (text === "") return Effect.succeed(undefined)
    const address = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`
    if (!URL.canParse(address)) return Effect.fail(wrong(source, "it is no address"))
    const url = new URL(address)
    if (url.protocol !== "http:" && url.protocol !== "https:") {
      return Effect.fail(wrong(source, `proxies of the kind ${url.protocol.slice(0, -1)} are not supported`))
    }
    if (url.hostname === "" || url.pathname.length > 1 || url.search !== "" || url.hash !== "") {
      return Effect.fail(wrong(source, "it has more than a host, a port, a user and a password"))
    }
    const user = decoded(url.username)
    const password = decoded(url.password)
    if (user === undefined || password === undefined) {
      return Effect.fail(wrong(source, "user or password are not encoded as they must be in an address"))
    }
    const isSecure = url.protocol === "https:"
    return Effect.succeed({
      isSecure,
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port === "" ? (isSecure ? 443 : 80) : Number(url.port),
      authorization: url.username === "" && url.password === ""
        ? undefined
        : Redacted.make(`Basic ${Encoding.encodeBase64(`${user}:${password}`)}`),
      source
    })
  })

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const wrong = (source: string, what: string) =>
  new InvalidInputError({
    operation: "Proxy",
    field: source,
    description: `the address of the proxy cannot be used: ${what}. Write it as http://user:password@host:port.`
  })
