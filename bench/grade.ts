/** A grader that computes for 20 ms without a pause, as a parser or a proof checker may. */
export const grade = (tokens: Int32Array): number => {
  const start = performance.now()
  let sum = 0
  while (performance.now() < start + 20) {
    for (let i = 0; i < tokens.length; i++) sum = (sum + tokens[i]!) % 1009
  }
  return sum / 1009
}
