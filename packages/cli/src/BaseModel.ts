/**
 * The base model that a program trains, wherever it runs: here, or at a service.
 */
import * as Context from "effect/Context"

/**
 * @since 0.1.0
 * @category tags
 */
export class BaseModel extends Context.Tag("@effect-tinker/cli/BaseModel")<BaseModel, Service>() {}

/**
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly name: string
  /** Longest sequence, in tokens, if the server says. */
  readonly maxContextLength: number | undefined
  /** One line for people: what it is and where it runs. */
  readonly description: string
}
