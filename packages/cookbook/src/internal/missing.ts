/** What one side does not tell and the other does. */
export const missing = (
  data: unknown,
  otherData: unknown,
  batching: unknown,
  otherBatching: unknown,
  kind: string = ""
): string =>
  [
    data === undefined && otherData !== undefined ? [`a fingerprint of its data${kind}`] : [],
    batching === undefined && otherBatching !== undefined ? ["how its batches are drawn"] : []
  ].flat().join(" and ")
