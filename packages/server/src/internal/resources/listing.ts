/** What listings have in common. */
import * as TinkerPath from "@effect-tinker/protocol/TinkerPath"
import type * as CheckpointStore from "../../CheckpointStore.js"

export const checkpointJson = (info: CheckpointStore.Info) => ({
  checkpoint_id: TinkerPath.checkpointId(info.path),
  checkpoint_type: info.path.checkpointType,
  time: timeOf(info.createdAt),
  tinker_path: TinkerPath.format(info.path),
  size_bytes: info.sizeBytes,
  public: info.public,
  user_metadata: info.userMetadata,
  expires_at: info.expiresAt === undefined ? null : timeOf(info.expiresAt)
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
