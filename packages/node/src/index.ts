export * as TinkerNode from "./TinkerNode.js"
export * as UndiciHttpClient from "./UndiciHttpClient.js"
