import { assert, it } from "@effect/vitest"
import { AgeRecipient } from "../src/index.js"

const native = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

const kinds: ReadonlyArray<readonly [what: string, recipient: string, AgeRecipient.Kind]> = [
  ["a public key", native, "native"],
  ["a key of a plugin", "age1yubikey1q2w7u3vpya839jxxuq8g0sedh3d740d4xvn639sqhr95ejj8vu3hyfumptt", "other"],
  ["a key of SSH", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN me@host", "ssh"],
  ["the older kind of them", "ssh-rsa AAAAB3NzaC1yc2E", "ssh"],
  ["a private key", "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX", "private"],
  ["a private key in small letters", "age-secret-key-1gfpyysjzgfpyysjzgfpyysjzgfpyysjz", "private"],
  ["a private key of a plugin", "AGE-PLUGIN-YUBIKEY-1GKZHGQ5YZPQ0S0CRYLV0S", "private"],
  ["a private key of SSH", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==", "private"],
  ["the beginning of a public key", native.slice(0, 40), "mistyped"],
  ["nothing but how they begin", "age1", "mistyped"],
  ["a public key and a letter more", `${native}q`, "mistyped"],
  ["a public key with a line end", `${native}\n`, "mistyped"],
  ["a public key after a space", ` ${native}`, "mistyped"],
  ["a public key in capitals", native.toUpperCase(), "mistyped"],
  ["a public key with a letter in capitals", native.replace("l", "L"), "mistyped"],
  ["a public key with a 1 for an l", native.replace("l", "1"), "mistyped"],
  ["two public keys", `${native},${native}`, "mistyped"],
  ["a name", "someone", "unknown"],
  ["nothing", "", "unknown"],
  ["how keys of SSH begin", "ssh-ed25519 ", "unknown"],
  ["a key of SSH that age does not take", "ecdsa-sha2-nistp256 AAAA", "unknown"]
]

for (const [what, recipient, kind] of kinds) {
  it(`${what} is told as ${kind}`, () => assert.strictEqual(AgeRecipient.kindOf(recipient), kind))
}

it("a public key with any one letter changed, left out or twice is a mistyped one", () => {
  for (let i = 4; i < native.length; i++) {
    for (const letter of ["q", "p", "z", "7", "b", ""]) {
      const mistyped = native.slice(0, i) + letter + native.slice(i + 1)
      if (mistyped !== native) assert.strictEqual(AgeRecipient.kindOf(mistyped), "mistyped", mistyped)
    }
    assert.strictEqual(AgeRecipient.kindOf(native.slice(0, i) + native.slice(i - 1)), "mistyped")
  }
})
