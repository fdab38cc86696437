/** Where a request has come in: over a socket, or from this very process. */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as Predicate from "effect/Predicate"

type Request = Pick<HttpServerRequest.HttpServerRequest, "source">

/** Marks what never was on a wire. */
export const inProcess: unique symbol = Symbol("inProcess")

export const isInProcess = ({ source }: Request): boolean => Predicate.hasProperty(source, inProcess)

/** What is read of a socket of Node. */
const socketOf = ({ source }: Request): object | undefined =>
  Predicate.hasProperty(source, "socket") && Predicate.isObject(source.socket) ? source.socket : undefined

/** The address of this server that the request was sent to, where the platform tells. */
export const localAddress = (request: Request): string | undefined => {
  const socket = socketOf(request)
  if (!Predicate.hasProperty(socket, "localAddress") || typeof socket.localAddress !== "string") return undefined
  // An IPv4 address as a socket of IPv6 tells it.
  return socket.localAddress.replace(/^::ffff:(?=\d+\.)/, "")
}

/** The same as the beginning of a URL. */
export const localOrigin = (request: Request): string | undefined => {
  const address = localAddress(request)
  const socket = socketOf(request)
  if (address === undefined || !Predicate.hasProperty(socket, "localPort")) return undefined
  const scheme = Predicate.hasProperty(socket, "encrypted") && socket.encrypted === true ? "https" : "http"
  return `${scheme}://${inUrl(address)}:${socket.localPort}`
}

/** IPv6 has brackets there. */
export const inUrl = (address: string): string => address.includes(":") ? `[${address}]` : address
