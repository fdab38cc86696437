/** So many bytes of a file tell what it is. */
export const headBytes = 64

/** What a file is that is no JSON lines in UTF-8, by its first bytes, and what to do; nothing if it may be. */
export const fileKind = (head: Uint8Array): string | undefined => {
  const latin1 = String.fromCharCode(...head.subarray(0, headBytes))
  for (const [start, description] of starts) if (latin1.startsWith(start)) return description
  if (isEveryOtherNul(latin1)) return utf16
  return latin1.trimStart()[0] === "<"
    ? "is HTML or XML, perhaps the page of a download. Get the file itself."
    : undefined
}

/** Whether it begins as text in UTF-16 does, most of which is of one byte. */
const isEveryOtherNul = (latin1: string): boolean => /^(\0[^\0]|[^\0]\0){2}/.test(latin1)

/** Whether a file may be one JSON array, by its first bytes. */
export const beginsArray = (head: Uint8Array): boolean =>
  new TextDecoder().decode(head.subarray(0, headBytes)).trimStart().startsWith("[")

export const oneArray = "is one JSON array. Write each of its elements on a line of its own, e.g. by jq -c '.[]'."

export const oldLineEnds =
  "has lines that end with CR alone, as old Macs wrote them. End each with LF, e.g. by tr '\\r' '\\n'."

/** Within a text it would be no JSON either, and between two objects nothing else makes lines of them. */
const oldLineEnd = /\}[ \t]*\r\s*\{/

/** Whether objects stand in a line that is no JSON, or in its first MiB, with a CR between them. */
export const hasOldLineEnds = (line: string | Uint8Array): boolean =>
  oldLineEnd.test(typeof line === "string" ? line : new TextDecoder("latin1").decode(line.subarray(0, 2 ** 20)))

/** What a first line that is no JSON says its file is; nothing if it is no header of a table. */
export const tableKind = (line: string): string | undefined => {
  if (!/^"?[\w .-]{1,60}"?([,;\t]"?[\w .-]{1,60}"?)+$/.test(line.trim())) return undefined
  const [name, options] = line.includes("\t") ? ["TSV", ", sep=\"\\t\""] : ["CSV", ""]
  return `seems to be a table (${name}) by its first line. Write it as JSON lines, e.g. by read_csv(file${options}) and `
    + "to_json(orient=\"records\", lines=True) of pandas."
}

const compressed = (name: string, command: string) => `is compressed (${name}). Unpack it first, e.g. by ${command}.`

const utf16 = "is UTF-16. Save it as UTF-8, e.g. by iconv -f UTF-16 -t UTF-8."

const utf32 = "is UTF-32. Save it as UTF-8, e.g. by iconv -f UTF-32 -t UTF-8."

/** First bytes, one a character. */
const starts: ReadonlyArray<readonly [start: string, description: string]> = [
  ["\x1f\x8b", compressed("gzip", "gunzip")],
  ["\x28\xb5\x2f\xfd", compressed("zstd", "unzstd")],
  ["BZh", compressed("bzip2", "bunzip2")],
  ["\xfd7zXZ\x00", compressed("xz", "unxz")],
  ["PK\x03\x04", compressed("zip", "unzip")],
  ["PAR1", "is Parquet. Write it as JSON lines, e.g. by to_json(orient=\"records\", lines=True) of pandas."],
  ["ARROW1", "is Arrow. Write it as JSON lines, e.g. by to_json of the Python library datasets."],
  ["\xff\xfe\x00\x00", utf32],
  ["\x00\x00\xfe\xff", utf32],
  ["\xff\xfe", utf16],
  ["\xfe\xff", utf16],
  ["{\x00\x00\x00", utf32],
  ["\x00\x00\x00{", utf32],
  [
    "version https://git-lfs.github.com/",
    "is a pointer of Git LFS, and not the file that it stands for. Get that by git lfs pull."
  ]
]
