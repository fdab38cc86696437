/** Unions whose members the wire tells apart by `type`, and which may grow on the server's side. */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { field } from "../WireField.js"

/** A member, told apart by `_tag` here. */
export const variant = <const Type extends string, const Tag extends string, Fields extends Schema.Struct.Fields>(
  type: Type,
  tag: Tag,
  fields: Fields
) =>
  Schema.Struct({
    _tag: field(Schema.transformLiteral(type, tag), "type"),
    ...fields
  })

/** A member with any other `type`, as it came. */
export const otherVariant = (known: ReadonlyArray<string>) =>
  Schema.transform(
    Schema.Record({ key: Schema.String, value: Schema.Unknown }).pipe(
      Schema.filter((raw) => !known.some((type) => raw.type === type))
    ),
    Schema.TaggedStruct("Unknown", {
      /** Its name on the wire; empty when it has none. */
      type: Schema.String,
      raw: Schema.Record({ key: Schema.String, value: Schema.Unknown })
    }),
    {
      strict: true,
      decode: (raw) => ({ _tag: "Unknown" as const, type: Predicate.isString(raw.type) ? raw.type : "", raw }),
      encode: ({ raw }) => raw
    }
  )
