/** How many fields a protobuf message has, told before any of them is decoded. */
import type { DescMessage } from "@bufbuild/protobuf"
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire"

/**
 * Whether there are more fields than `most` in a message and those inside it, counting each element of a repeated number.
 * False for bytes that are no message, unless that many come before this shows.
 */
export const exceeds = (bytes: Uint8Array, message: DescMessage, most: number): boolean => {
  const reader = new BinaryReader(bytes)
  let count = 0
  const walk = (end: number, contentOf: ContentOf): void => {
    while (reader.pos < end && count <= most) {
      const [number, wireType] = reader.tag()
      count += 1
      if (wireType !== WireType.LengthDelimited) {
        reader.skip(wireType, number)
        continue
      }
      const length = reader.uint32()
      const next = reader.pos + length
      const content = contentOf(number)
      // Each takes a byte or more.
      if (content === "numbers") count += length
      else if (content !== undefined) walk(next, content)
      reader.pos = next
    }
  }
  try {
    walk(bytes.length, contentOf(message))
  } catch {
    // Whoever decodes it comes no further.
  }
  return count > most
}

/** What is in the field of a number, unless it is a text, bytes or unknown. */
type ContentOf = (number: number) => ContentOf | "numbers" | undefined

const contentOf = ({ fields }: DescMessage): ContentOf => (number) => {
  const field = fields.find((field) => field.number === number)
  switch (field?.fieldKind) {
    case "message":
      return contentOf(field.message)
    case "list":
      return field.listKind === "message" ? contentOf(field.message) : field.packed ? "numbers" : undefined
    case "map": {
      // A message of its own, whose field 2 is the value.
      const { message } = field
      return (entry) => entry === 2 && message !== undefined ? contentOf(message) : undefined
    }
    default:
      return undefined
  }
}
