/** Whom the damaged pieces of a journal were about, as far as that can still be read. */

export interface Damage {
  /** The highest number of a request of each model and sampler that is named; infinite where none is. */
  readonly owners: ReadonlyMap<string, number>
  readonly sessions: ReadonlySet<string>
  /** Requests that are named. */
  readonly requests: ReadonlyArray<{ readonly ownerId: string; readonly seqId: string }>
}

const sessionId = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
const ownerId = `${sessionId}:(?:train|sample):\\d+`

/** An owner as the keys and the values of the journal name it. What else there is of owners, as in the audit log, is no loss of theirs. */
const namedOwner = new RegExp(
  `"(?:(?:model|progress|request|rejected|result|sampler|asked|lost):|(?:id|modelId|ownerId|samplerId)":")(${ownerId})(?::(\\d+))?[":]`,
  "g"
)
const namedSession = new RegExp(`"(?:session:|id":")(${sessionId})"`, "g")
const number = /"seqId":"?(\d+)/g

export const read = (pieces: ReadonlyArray<string>): Damage => {
  const owners = new Map<string, number>()
  const sessions = new Set<string>()
  const requests: Array<{ readonly ownerId: string; readonly seqId: string }> = []
  for (const piece of pieces) {
    const named = Array.from(piece.matchAll(namedOwner), ([, owner, seqId]) => ({ owner: owner!, seqId }))
    const times = new Map<string, number>()
    for (const { owner } of named) times.set(owner, (times.get(owner) ?? 0) + 1)
    // Each is named more than once where it is named at all, so that one alone is a name that is damaged itself.
    const isSure = Array.from(times.values()).some((count) => count > 1)
    const numbers = Array.from(piece.matchAll(number), ([, digits]) => Number(digits))
    for (const { owner, seqId } of named) {
      if (isSure && times.get(owner) === 1) continue
      if (seqId !== undefined) {
        numbers.push(Number(seqId))
        requests.push({ ownerId: owner, seqId })
      }
    }
    const highest = numbers.length === 0 ? Infinity : Math.max(...numbers)
    for (const [owner, count] of times) {
      if (!isSure || count > 1) owners.set(owner, Math.max(owners.get(owner) ?? 0, highest))
    }
    for (const [, session] of piece.matchAll(namedSession)) sessions.add(session!)
  }
  return { owners, sessions, requests }
}
