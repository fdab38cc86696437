/** Queries of listings. They are made by functions, so that a bundler leaves out those that nobody uses. */
import * as Schema from "effect/Schema"
import { AccessScope } from "../AccessScope.js"
import { defaulted, fieldDefaulted, missable } from "../WireField.js"

/** It is written in decimal digits alone: what JavaScript takes for a number besides, as `0x10` or an empty text, is none here. */
const whole = (least: number) =>
  Schema.transform(
    Schema.String.pipe(Schema.filter((text) => /^\d+$/.test(text) || mustBe(least))),
    Schema.Number.pipe(Schema.filter((value) => Number.isSafeInteger(value) && value >= least || mustBe(least))),
    { strict: true, decode: Number, encode: String }
  )

const mustBe = (least: number): string => `must be a whole number from ${least}, in decimal digits`

/** The page of a listing that is wanted; `limit` is what a server gives those who do not say. */
const pageFields = (limit: number) => ({
  limit: defaulted(whole(1), () => limit),
  offset: defaulted(whole(0), () => 0)
})

const scopeFields = () => ({
  accessScope: fieldDefaulted(AccessScope, "access_scope", () => "owned" as const)
})

export const page = (limit: number) => Schema.Struct(pageFields(limit))

export const scope = () => Schema.Struct(scopeFields())

export const scopedPage = (limit: number) => Schema.Struct({ ...pageFields(limit), ...scopeFields() })

/** A page of one project, or of all. */
export const projectPage = (limit: number) =>
  Schema.Struct({
    ...pageFields(limit),
    ...scopeFields(),
    projectId: missable(Schema.String, "project_id")
  })
