/**
 * Where a page of a listing stands in the whole.
 */
import * as Schema from "effect/Schema"
import { field } from "./WireField.js"

/**
 * @since 0.1.0
 * @category schemas
 */
export const Cursor = Schema.Struct({
  /** How many entries come before the page. */
  offset: Schema.Int,
  /** Most entries of the page. */
  limit: Schema.Int,
  /** How many entries there are on all pages. */
  totalCount: field(Schema.Int, "total_count")
})

/**
 * @since 0.1.0
 * @category models
 */
export type Cursor = typeof Cursor.Type
