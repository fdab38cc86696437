export * as BaseModel from "./BaseModel.js"
export * as Local from "./Local.js"
export * as Remote from "./Remote.js"
export * as UsageError from "./UsageError.js"
