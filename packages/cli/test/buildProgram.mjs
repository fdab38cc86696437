import { bundle } from "../../../scripts/bundle.mjs"

/** Builds the program once for all tests that run it. */
export default () => bundle("packages/cli", ["tinker"], "packages/cli/build/program")
