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
