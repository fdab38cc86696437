/** The options of the server. */
import * as Options from "@effect/cli/Options"
import * as NumberOption from "../NumberOption.js"

export const flags = {
  port: NumberOption.make("port", {
    description: "Port to listen on; 0 for any that is free",
    isInteger: true,
    bounds: [0, 65535],
    fallback: 8787
  }),
  host: Options.text("host").pipe(
    Options.withPseudoName("address"),
    Options.withDescription(
      "Address to listen on. One that other machines can reach needs --key-file. Default: 127.0.0.1, this machine alone"
    ),
    Options.withDefault("127.0.0.1")
  ),
  model: Options.text("model").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "Hugging Face folder of a base model, or NAME=FOLDER for the name by which clients ask for it, as "
        + "Qwen/Qwen3-8B=./folder; again for each other. Default: the small one that ships"
    ),
    Options.repeated,
    Options.withDefault<Array<string>>([])
  ),
  data: Options.text("data").pipe(
    Options.withPseudoName("folder"),
    Options.withDescription(
      "Folder that keeps checkpoints, and everything else that a server started anew goes on with. Default: all is "
        + "kept in memory"
    ),
    Options.optional
  ),
  keyFile: Options.text("key-file").pipe(
    Options.withPseudoName("file"),
    Options.withDescription(
      "File of the keys that clients may have, one a line, each with its name behind a # if you like; read once, at "
        + "the start. Default: no key is asked for"
    ),
    Options.optional
  ),
  allowHost: Options.text("allow-host").pipe(
    Options.withPseudoName("name"),
    Options.withDescription(
      "Name by which clients may call a server without keys, beside localhost and 127.0.0.1, and whose web pages may; * for "
        + "any; again for each other"
    ),
    Options.repeated,
    Options.withDefault<Array<string>>([])
  ),
  publicUrl: Options.text("public-url").pipe(
    Options.withPseudoName("url"),
    Options.withDescription(
      "Address by which clients reach the server, for those of downloads, e.g. behind a proxy or in a container. Default: "
        + "that of the connection"
    ),
    Options.optional
  ),
  settings: Options.text("settings").pipe(
    Options.withPseudoName("file"),
    Options.withDescription(
      "JSON file of client_config, dynamic_config, token_lifetime_seconds, prices (tokens by base model, gigabyte_month), "
        + "session_timeout_seconds, max_sessions, max_body_bytes, max_concurrent_samples, max_models, max_waiting_bytes, "
        + "sample_logprobs (raw unless processed), keep_live_models (true unless false) "
        + "and engine (threads, max_memory_bytes and niceness of each model's process)"
    ),
    Options.optional
  ),
  quiet: Options.boolean("quiet").pipe(Options.withDescription("Writes no line a request to standard error"))
}
