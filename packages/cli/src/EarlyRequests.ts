/**
 * A server of Node that loses nothing while it starts. One that listens already and has no handler yet takes requests and
 * never answers them, which the clients of a server that is started anew would run into.
 */
import { createServer, type RequestListener, type Server } from "node:http"

/**
 * Requests that come before there is a handler wait for the first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const makeServer = (): Server => {
  const server = createServer()
  const early: Array<Parameters<RequestListener>> = []
  const hold: RequestListener = (request, response) => void early.push([request, response])
  const handOver = (event: string | symbol, listener: (...args: Parameters<RequestListener>) => void) => {
    if (event !== "request") return
    server.off("newListener", handOver)
    server.off("request", hold)
    for (const exchange of early.splice(0)) listener.call(server, ...exchange)
  }
  server.on("request", hold)
  server.on("newListener", handOver)
  return server
}
