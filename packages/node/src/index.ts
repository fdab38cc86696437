export * as TinkerNode from "./TinkerNode.js"
