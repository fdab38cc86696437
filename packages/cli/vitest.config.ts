import { fileURLToPath } from "node:url"
import { mergeConfig } from "vitest/config"
import shared from "../../vitest.shared.js"

export default mergeConfig(shared, {
  test: { globalSetup: [fileURLToPath(new URL("./test/buildProgram.mjs", import.meta.url))] }
})
