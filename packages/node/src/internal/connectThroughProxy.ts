import * as Redacted from "effect/Redacted"
import { request as requestPlain } from "node:http"
import { request as requestSecure } from "node:https"
import type { buildConnector } from "undici"
import type { Proxy, ProxyFor } from "../Proxy.js"

/** The time that a proxy may take to connect, in milliseconds. */
const connectTimeout = 5000

/**
 * Connects to targets by tunnels through their proxies, and to those that have none by `direct`. `secure` makes a
 * connection with TLS out of a tunnel.
 */
export const connectThroughProxy = (
  proxyFor: ProxyFor | undefined,
  direct: buildConnector.connector,
  secure: buildConnector.connector
): buildConnector.connector =>
  proxyFor === undefined ? direct : (target, done) => {
    const proxy = proxyFor(target)
    if (proxy === undefined) return direct(target, done)
    const port = target.port || (target.protocol === "https:" ? "443" : "80")
    const place = `${target.hostname}:${port}`
    let refused = false
    const refuse = (what: string) => {
      if (refused) return
      refused = true
      done(new Error(`the proxy ${proxy.hostname}:${proxy.port} of ${proxy.source} ${what}`), null)
    }
    const asking = (proxy.isSecure ? requestSecure : requestPlain)({
      host: proxy.hostname,
      port: proxy.port,
      method: "CONNECT",
      path: place,
      headers: { host: place, ...authorizationOf(proxy) },
      agent: false,
      timeout: connectTimeout
    })
    asking.once("connect", (answer, socket, head) => {
      asking.setTimeout(0)
      socket.setTimeout(0)
      if (answer.statusCode !== 200) {
        refuse(
          answer.statusCode === 407
            ? "wants a user and a password, or others than these (407)"
            : `answered ${String(answer.statusCode)}`
        )
        return socket.destroy()
      }
      if (head.length > 0) socket.unshift(head)
      if (target.protocol === "https:") return secure({ ...target, httpSocket: socket }, done)
      socket.setNoDelay(true)
      done(null, socket)
    })
    asking.once("timeout", () => asking.destroy(new Error("it does not answer")))
    asking.once("error", (error) => refuse(`cannot be reached: ${error.message}`))
    asking.end()
  }

const authorizationOf = ({ authorization }: Proxy): Record<string, string> =>
  authorization === undefined ? {} : { "proxy-authorization": Redacted.value(authorization) }
