import { Effect } from "effect"
import type { Scope } from "effect"
import { readFileSync } from "node:fs"
import type { RequestListener } from "node:http"
import { createServer } from "node:https"
import type { AddressInfo } from "node:net"

const fixture = (name: string) => readFileSync(new URL(`./fixtures/${name}.pem`, import.meta.url))

/** A certificate for this machine that nobody else has signed. */
export const certificate = fixture("cert")

/** A server with TLS on a port of this machine. */
export const serveSecurely = (listener: RequestListener): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<{ readonly url: string; readonly stop: Effect.Effect<void> }>((resume) => {
      const server = createServer({ cert: certificate, key: fixture("key") }, listener)
      server.listen(0, "127.0.0.1", () => {
        const stop = Effect.async<void>((resume) => {
          server.close(() => resume(Effect.void))
          server.closeAllConnections()
        })
        resume(Effect.succeed({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, stop }))
      })
    }),
    ({ stop }) => stop
  ).pipe(Effect.map(({ url }) => url))

/** Lets Node trust that certificate, and every other, for as long as the scope is open. */
export const trusting: Effect.Effect<void, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => {
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
    const { emitWarning } = process
    // Node warns of it, which is of no interest here.
    process.emitWarning = () => {}
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0"
    return { before, emitWarning }
  }),
  ({ before, emitWarning }) =>
    Effect.sync(() => {
      process.emitWarning = emitWarning
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"]
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before
    })
)
