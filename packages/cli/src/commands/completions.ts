import * as Args from "@effect/cli/Args"
import * as CommandTree from "../CommandTree.js"

/** The command that prints completions. */
export const completions = CommandTree.leaf("completions", {
  summary: "Writes a script that has a shell complete commands and options.",
  examples: ["tinker completions bash > ~/.local/share/bash-completion/completions/tinker"],
  parameters: {
    shell: Args.choice([["bash", "bash"], ["zsh", "zsh"], ["fish", "fish"]], { name: "SHELL" }).pipe(
      Args.withDescription("bash, zsh or fish")
    )
  },
  load: () => import("../handlers/completions.js").then(({ completions }) => completions)
})
