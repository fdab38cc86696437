import * as Context from "effect/Context"
import type * as ServiceClient from "../ServiceClient.js"

/** The key of the tag `ServiceClient`. */
export const key = "effect-tinker/ServiceClient"

/** The tag itself, for the modules of the clients that a `ServiceClient` makes, which its own module imports. */
export const serviceClient = Context.GenericTag<ServiceClient.ServiceClient, ServiceClient.Service>(key)
