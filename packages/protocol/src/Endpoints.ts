/**
 * The endpoints of the protocol, by their names in camelCase. Clients make their requests from these values, servers their routes and
 * the description of them.
 */
export * from "./internal/endpoints/account.js"
export * from "./internal/endpoints/checkpoints.js"
export * from "./internal/endpoints/futures.js"
export * from "./internal/endpoints/sampling.js"
export * from "./internal/endpoints/service.js"
export * from "./internal/endpoints/sessions.js"
export * from "./internal/endpoints/training.js"
