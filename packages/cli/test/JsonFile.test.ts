import { assert, it } from "@effect/vitest"
import * as JsonFile from "../src/JsonFile.js"

const isJson = (text: string) => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

it("takes what JSON is, and nothing else", () => {
  for (
    const text of [
      "{}",
      " [ ] ",
      "null",
      "-0.5e+3",
      "\"a\\u00e9\\n\"",
      "{\"a\": {\"b\": [1, true, \"x\"]}, \"c\": {\"b\": 1}}",
      "",
      " ",
      "{",
      "[1,]",
      "{\"a\":1,}",
      "{a: 1}",
      "{'a': 1}",
      "01",
      "1.",
      "+1",
      "NaN",
      "nulll",
      "true1",
      "\"a",
      "\"\\x\"",
      "\"\t\"",
      "{} {}",
      "[1 2]",
      "{\"a\" 1}",
      "// x\n{}",
      "{\"a\":1 // x\n}",
      "-",
      "[-]",
      "]"
    ]
  ) {
    assert.strictEqual(JsonFile.issueOf(text) === undefined, isJson(text), text)
  }
})

for (
  const [what, text, issue] of [
    ["a comment", "{\n  // mine\n}", "line 2: \"/\" stands where a key in double quotes must"],
    ["a missing comma", "{\"a\": 1\n\"b\": 2}", "line 2: \"\\\"\" stands where a comma or } must"],
    ["a value of Python", "{\n\"a\":\nTrue}", "line 3: \"True\" stands where a value must"],
    ["a file cut short", "{\"a\":\n[1,\n", "line 3: the file ends where a value must follow"],
    [
      "a key there twice, however written",
      "{\"a\": 1,\r\n \"\\u0061\": 2}",
      "line 2: \"a\" is there twice in one object. Leave one of the two."
    ],
    ["what is too deep", "[".repeat(200_000), "line 1: values are more than 100 deep in each other"]
  ] as const
) {
  it(`says in which line there is ${what}`, () => assert.strictEqual(JsonFile.issueOf(text), issue))
}
