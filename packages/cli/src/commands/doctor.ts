import * as CommandTree from "../CommandTree.js"

/** The command that looks whether all is well. */
export const doctor = CommandTree.leaf("doctor", {
  summary: "Looks whether key, address, clock, proxy and versions are right, and what the server lacks.",
  parameters: {},
  load: () => import("../handlers/doctor.js").then(({ doctor }) => doctor)
})
