import * as CommandTree from "../CommandTree.js"

/** @internal */
export const version = CommandTree.leaf("version", {
  summary: "Says which version this is.",
  parameters: {},
  load: () => import("../handlers/version.js").then(({ version }) => version)
})
