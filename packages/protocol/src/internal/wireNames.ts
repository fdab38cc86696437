/** Names of loss inputs and settings that differ between the wire and here; every other name travels as it is. */
const toWire = new Map([
  ["targetTokens", "target_tokens"],
  ["clipLowThreshold", "clip_low_threshold"],
  ["clipHighThreshold", "clip_high_threshold"],
  ["sequenceRatioMask", "sequence_ratio_mask"],
  ["elementwiseLoss", "elementwise_loss"],
  ["klCoeff", "kl_coeff"],
  ["lossId", "loss_id"]
])

const fromWire = new Map(Array.from(toWire, ([name, wire]) => [wire, name]))

export const toWireName = (name: string): string => toWire.get(name) ?? name

export const fromWireName = (name: string): string => fromWire.get(name) ?? name

/**
 * The same for what a request holds. Throws an `Error` at a name that is one of ours, which on the wire means nothing: a
 * server that took it for the other would take what no other server does.
 */
export const fromRequestName = (name: string): string => {
  const wire = toWire.get(name)
  if (wire !== undefined) throw new Error(`${name} is no name of an input or a setting; ${wire} is`)
  return fromWireName(name)
}
