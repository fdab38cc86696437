/** The projects whose tests run together. */
export default ["packages/*/vitest.config.ts"]
