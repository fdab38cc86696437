/** What listings have in common. */
import type { Checkpoint } from "@effect-tinker/protocol/Checkpoint"
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import * as DateTime from "effect/DateTime"
import type * as CheckpointStore from "../../CheckpointStore.js"

export const checkpointOf = (info: CheckpointStore.Info): Checkpoint => ({
  checkpointId: TinkerPath.checkpointId(info.path),
  checkpointType: info.path.checkpointType,
  time: DateTime.unsafeMake(info.createdAt),
  tinkerPath: TinkerPath.format(info.path),
  sizeBytes: info.sizeBytes,
  public: info.public,
  userMetadata: info.userMetadata,
  expiresAt: info.expiresAt === undefined ? undefined : DateTime.unsafeMake(info.expiresAt)
})

/** The checkpoints that a client of this version can read: before 0.28 it would reject the whole list for an external one. */
export const readableBy = (
  headers: Readonly<Record<string, string | undefined>>,
  infos: ReadonlyArray<CheckpointStore.Info>
): ReadonlyArray<CheckpointStore.Info> => {
  const version = /^0\.(\d+)/.exec(headers["x-stainless-package-version"] ?? "")
  return version !== null && Number(version[1]) < 28
    ? infos.filter(({ path }) => path.checkpointType !== "external")
    : infos
}

export const timeOf = (millis: number): string => new Date(millis).toISOString()

/** Models and sessions are made with any JSON, and told about in texts. */
export const textsOf = (metadata: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(metadata).map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)])
  )
