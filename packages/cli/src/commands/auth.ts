import * as Options from "@effect/cli/Options"
import * as CommandTree from "../CommandTree.js"

/** The commands of credentials. */
export const auth = CommandTree.group("auth", {
  summary: "Credentials: the key of this machine, and whose it is.",
  commands: [
    CommandTree.leaf("login", {
      summary: "Stores an API key for this user, after the service has said that it is one.",
      details: "With --profile the key is that profile's. Python's client uses the same file.",
      examples: ["tinker auth login", "tinker auth login --with-token < key.txt"],
      parameters: {
        withToken: Options.boolean("with-token").pipe(Options.withDescription("Reads the key from the standard input"))
      },
      load: () => import("../handlers/authLogin.js").then(({ login }) => login)
    }),
    CommandTree.leaf("logout", {
      summary: "Removes the stored key from this machine.",
      parameters: {},
      load: () => import("../handlers/authLogout.js").then(({ logout }) => logout)
    }),
    CommandTree.leaf("status", {
      summary: "Says whether there is a credential, and whether the service accepts it.",
      parameters: {},
      load: () => import("../handlers/authStatus.js").then(({ status }) => status)
    }),
    CommandTree.leaf("whoami", {
      summary: "Says whose the credential is.",
      parameters: {},
      load: () => import("../handlers/authWhoami.js").then(({ whoami }) => whoami)
    })
  ]
})
