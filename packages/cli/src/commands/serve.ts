import * as CommandTree from "../CommandTree.js"
import { flags } from "./serveFlags.js"

/** The command that serves. */
export const serve = CommandTree.leaf("serve", {
  summary: "Starts a Tinker server that trains on this machine.",
  details:
    "For programs of this machine alone, unless --key-file says who else may. Told to stop it finishes what runs.",
  examples: ["tinker serve --data ./kept", "tinker serve --model Qwen/Qwen3-0.6B=./qwen3 --port 8787"],
  parameters: flags,
  repeated: ["model", "allowHost"],
  isServer: true,
  load: () => import("../handlers/serve.js").then(({ serve }) => serve)
})
