/** Files of a model's folder; those that cannot be read are refused by their names. */
import type { EngineError } from "@effect-tinker/engine/Engine"
import * as Fs from "node:fs"
import { unsupported } from "./unsupported.js"

/** The object that a JSON file holds. */
export const readJson = (file: string): Readonly<Record<string, unknown>> => {
  const text = readText(file)
  try {
    // Some editors write a byte order mark.
    const value: unknown = JSON.parse(text.replace(/^\ufeff/, ""))
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw unsupported(`${file} is not JSON`, cause)
  }
  throw unsupported(`${file} is not a JSON object`)
}

/** Opens a file to be read a part at a time, such as a tensor, for files may be larger than any array, and than what is left beside the weights. */
export const reading = (
  file: string,
  body: (read: (begin: number, length: number) => Uint8Array, fileBytes: number) => void
): void => {
  const descriptor = opened(file)
  try {
    const stats = Fs.fstatSync(descriptor)
    if (!stats.isFile()) throw unreadable(file, new Error("not a file"))
    const read = (begin: number, length: number): Uint8Array => {
      const bytes = new Uint8Array(length)
      let done = 0
      while (done < length) {
        const piece = Math.min(length - done, maxReadBytes)
        const count = Fs.readSync(descriptor, bytes, done, piece, begin + done)
        if (count === 0) return bytes.subarray(0, done)
        done += count
      }
      return bytes
    }
    body(read, stats.size)
  } finally {
    Fs.closeSync(descriptor)
  }
}

/** The most bytes that one call to the system reads; it takes less than 2 GiB. */
const maxReadBytes = 2 ** 30

const opened = (file: string): number => {
  try {
    return Fs.openSync(file, "r")
  } catch (cause) {
    throw unreadable(file, cause)
  }
}

const unreadable = (file: string, cause: unknown): EngineError =>
  unsupported(
    `${file} cannot be read. A model's folder has config.json and model.safetensors, as Hugging Face writes them.`,
    cause
  )

const readText = (file: string): string => {
  try {
    return Fs.readFileSync(file, "utf8")
  } catch (cause) {
    throw unreadable(file, cause)
  }
}
