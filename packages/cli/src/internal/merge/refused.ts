import { CommandFailed } from "../../Failure.js"

/** A model or an adapter is of a kind that is not merged; the message names the file and the tensor or field. */
export const refused = (message: string): CommandFailed =>
  new CommandFailed({ code: "unsupported", exitCode: 1, message })
