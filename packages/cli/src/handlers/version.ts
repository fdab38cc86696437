import * as Effect from "effect/Effect"
import type { Handler } from "../CommandTree.js"
import * as Output from "../Output.js"
import { current } from "../Version.js"

export const version: Handler<unknown> = () =>
  Effect.gen(function*() {
    const output = yield* Output.Output
    if (output.format === "table") return yield* output.write(`tinker ${current}\n`)
    const [{ settings: inForce }, TinkerConfig] = yield* Effect.promise(() =>
      Promise.all([import("../Connection.js"), import("effect-tinker/TinkerConfig")])
    )
    const settings = yield* inForce
    yield* output.result({
      json: {
        version: current,
        protocol: TinkerConfig.protocolVersion,
        runtime: `node ${process.versions.node}`,
        base_url: settings.get("TINKER_BASE_URL") ?? TinkerConfig.hosted
      },
      text: () => ""
    })
  })
