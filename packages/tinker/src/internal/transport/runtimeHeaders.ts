import * as Predicate from "effect/Predicate"

/** What the service asks its clients to say of where they run. */
export const runtimeHeaders = (): Readonly<Record<string, string>> => {
  const host: unknown = Reflect.get(globalThis, "process")
  const word = (value: unknown, name: string) =>
    Predicate.hasProperty(value, name) && typeof value[name] === "string" ? value[name] : undefined
  const platform = word(host, "platform")
  const arch = word(host, "arch")
  const versions = Predicate.hasProperty(host, "versions") ? host.versions : undefined
  const runtime = (["bun", "deno", "node"] as const).find((name) => word(versions, name) !== undefined)
  return {
    "x-stainless-os": platform === undefined ? "Unknown" : systems[platform] ?? `Other:${platform}`,
    "x-stainless-arch": arch === undefined ? "unknown" : architectures[arch] ?? `other:${arch}`,
    "x-stainless-runtime": runtime ?? "unknown",
    "x-stainless-runtime-version": (runtime && word(versions, runtime)) ?? "unknown",
    "x-stainless-async": "async:effect"
  }
}

/** The kind of operating system, of the three that the service tells apart. What is none of them is most like the first. */
export const runtimePlatform = (): "Linux" | "Darwin" | "Windows" => {
  const name = (holder: string, key: string): string => {
    const found: unknown = Reflect.get(globalThis, holder)
    return Predicate.hasProperty(found, key) && typeof found[key] === "string" ? found[key].toLowerCase() : ""
  }
  const platform = name("process", "platform") || name("navigator", "platform") || name("navigator", "userAgent")
  if (/darwin|mac|iphone|ipad/.test(platform)) return "Darwin"
  return /win/.test(platform) ? "Windows" : "Linux"
}

const systems: Readonly<Record<string, string>> = {
  darwin: "MacOS",
  linux: "Linux",
  win32: "Windows",
  freebsd: "FreeBSD",
  openbsd: "OpenBSD"
}

const architectures: Readonly<Record<string, string>> = { x64: "x64", arm64: "arm64", arm: "arm", ia32: "x32" }
