/**
 * The recipients for whom files are encrypted with age, and what is given for them by mistake. Sources: age-encryption.org/v1; BIP 173, of which
 * the form of the keys is.
 */

/**
 * - `native`: a public key of age, `age1…`
 * - `other`: one of a plugin or of a newer kind, whose name it has in it, e.g. `age1yubikey1…`
 * - `ssh`: a public key of SSH
 * - `private`: a private key
 * - `mistyped`: it begins as a public key of age does, and its checksum is another one
 * - `unknown`: anything else
 */
export type Kind = "native" | "other" | "ssh" | "private" | "mistyped" | "unknown"

export const kindOf = (recipient: string): Kind => {
  if (/^\s*(AGE-(SECRET-KEY|PLUGIN)-|-----BEGIN .*PRIVATE KEY)/i.test(recipient)) return "private"
  if (/^ssh-(ed25519|rsa) \S/.test(recipient)) return "ssh"
  if (!/^\s*age1/i.test(recipient)) return "unknown"
  const [, prefix, data] = /^(age|age1[a-z0-9+._-]+)1([02-9ac-hj-np-z]{6,})$/.exec(recipient) ?? []
  if (prefix === undefined || data === undefined || !hasChecksum(prefix, data)) return "mistyped"
  if (prefix !== "age") return "other"
  return isKey.test(data) ? "native" : "mistyped"
}

/** What is wrong with a recipient of these kinds, whoever is to encrypt, as the rest of a sentence that begins with it. */
export const mistakes = {
  mistyped: "is a mistyped public key of age, as its checksum is not that of its letters; "
    + "copy it anew, whole, in small letters and without spaces",
  private: "is a private key, which is nobody else's to have; pass the public key to it, which age-keygen -y prints"
} satisfies Partial<Record<Kind, string>>

/** 32 bytes, the bits that are too many being 0, and the checksum. */
const isKey = /^.{51}[qs].{6}$/

const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
const generators = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3]

const hasChecksum = (prefix: string, data: string): boolean => {
  let sum = 1
  const add = (value: number) => {
    const top = sum >>> 25
    sum = ((sum & 0x1ffffff) << 5) ^ value
    for (const [i, generator] of generators.entries()) if ((top >>> i) & 1) sum ^= generator
  }
  for (let i = 0; i < prefix.length; i++) add(prefix.charCodeAt(i) >>> 5)
  add(0)
  for (let i = 0; i < prefix.length; i++) add(prefix.charCodeAt(i) & 31)
  for (const letter of data) add(alphabet.indexOf(letter))
  return sum === 1
}
