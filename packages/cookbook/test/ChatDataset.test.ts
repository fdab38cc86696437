import type { InvalidInputError } from "@effect-tinker/protocol/TinkerError"
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { SystemError } from "@effect/platform/Error"
import { assert, it } from "@effect/vitest"
import { Effect, Either, FastCheck, Option, Stream } from "effect"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import * as ChatDataset from "../src/ChatDataset.js"
import type { DatasetError } from "../src/DatasetError.js"
import * as Lines from "../src/internal/lines.js"
import * as RoleRenderer from "../src/RoleRenderer.js"
import * as Supervised from "../src/Supervised.js"
import { bytes, files, layerBytes, learned } from "./fixture.js"

/** Without what is told of arguments that make no sense: the files here are of good ones. */
const wellAsked = <A, R>(effect: Effect.Effect<A, DatasetError | InvalidInputError, R>) =>
  Effect.catchTag(effect, "InvalidInputError", Effect.die)

const read = (file: string, options?: ChatDataset.Options) => wellAsked(ChatDataset.read(file, options))

const parse = (text: string, file: string, options?: ChatDataset.Options) =>
  wellAsked(ChatDataset.parse(text, file, options))

const line = (messages: unknown, rest: object = {}) => JSON.stringify({ messages, ...rest })

const user = { role: "user", content: "Hello." }
const good = line([user, { role: "assistant", content: "Good day." }])

const failing = (reason: "NotFound" | "PermissionDenied") =>
  FileSystem.layerNoop({
    stat: (path) =>
      Effect.fail(new SystemError({ reason, module: "FileSystem", method: "stat", pathOrDescriptor: path }))
  })

const fixture = (name: string) => fileURLToPath(new URL(`./fixtures/${name}.jsonl`, import.meta.url))

const renderer = RoleRenderer.fromTokenizer(bytes)

/** What is learned of the conversations of a file, answer by answer. */
const learnedOf = <R>(chats: Effect.Effect<ReadonlyArray<ChatDataset.Chat>, DatasetError, R>) =>
  Effect.flatMap(chats, (chats) =>
    Effect.gen(function*() {
      // With what the line says beside its messages.
      yield* wellAsked(Supervised.dataFromChats(chats))
      const texts: Array<string> = []
      for (const { messages } of chats) {
        texts.push(...learned(bytes, Either.getOrThrow(renderer.supervisedExample(messages))))
      }
      return texts
    }).pipe(Effect.provide(layerBytes)))

const learnedOfFile = (name: string) => Effect.provide(learnedOf(read(fixture(name))), NodeContext.layer)

it.effect("reads each line with its number, and keeps the other keys", () =>
  Effect.gen(function*() {
    const text = `${good}\n\n${line([{ role: "assistant", content: "Alone." }], { template: "t", weight: 2 })}\r\n`
    const chats = yield* parse(text, "chats.jsonl")
    assert.deepStrictEqual(chats.map((chat) => chat.line), [1, 3])
    assert.deepStrictEqual(chats[0]!.messages[1], { role: "assistant", content: "Good day." })
    assert.deepStrictEqual(chats[1]!.metadata, { template: "t", weight: 2 })
  }))

it.effect("reads a file that begins with a byte order mark", () =>
  Effect.gen(function*() {
    assert.strictEqual((yield* parse(`\uFEFF${good}`, "chats.jsonl")).length, 1)
  }))

const learnedFrom: ReadonlyArray<readonly [name: string, texts: ReadonlyArray<string>]> = [
  ["weights", ["a right answer"]],
  ["text-parts", ["hello"]],
  ["developer", ["hello"]],
  ["sharegpt", ["hello"]],
  ["prompt-completion", [" 4"]],
  ["two-functions", ["def a():\n    return 1\n\n\ndef b():\n    return 2\n"]],
  ["indented", ["def f(x):\n    y = x + 1\n\n    return y"]],
  ["thirty-one", Array.from({ length: 31 }, (_, i) => `a${i}`)]
]
for (const [name, texts] of learnedFrom) {
  it.effect(`learns what the file ${name} says, letter for letter`, () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* learnedOfFile(name), texts)
    }))
}

const refusedFiles: ReadonlyArray<
  readonly [name: string, reason: DatasetError["reason"], line: number, text: RegExp]
> = [
  ["latin1", "WrongFormat", 1, /not UTF-8, perhaps Latin-1/],
  ["silent-tool-call", "Unsupported", 1, /messages\.1 has "tool_calls"/],
  ["tool-call", "Unsupported", 1, /tool/],
  ["image-part", "Unsupported", 1, /"image_url" at messages\.0\.content\.1/],
  ["pretty-printed", "WrongFormat", 1, /goes on in the next line/],
  ["capital-roles", "UnknownRole", 1, /"User".*Did you mean user\?/],
  ["broken-third-line", "MalformedLine", 3, /is no JSON/],
  ["preferred-pair", "UnknownShape", 1, /preferred/],
  ["text-alone", "UnknownShape", 1, /text alone/]
]
for (const [name, reason, line, text] of refusedFiles) {
  it.effect(`refuses the file ${name}, and says where and why`, () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(learnedOfFile(name))
      assert.deepInclude(error, { reason, line, file: fixture(name) })
      assert.match(error.message, text)
      assert.notInclude(JSON.stringify(error), "secret")
    }))
}

it.effect("names the place of a missing or wrong value, and does not repeat the content", () =>
  Effect.gen(function*() {
    const answer = { role: "assistant", content: "Yes." }
    const bad: ReadonlyArray<readonly [text: string, place: string]> = [
      [line([{ role: "user", content: "secret" }, { role: "assistant" }]), "messages.1.content"],
      [line([user, { role: "assistant", content: null }]), "messages.1.content"],
      [line([{ role: "user", content: 7 }]), "messages.0.content"],
      [line([{ role: "user", content: [] }, answer]), "messages.0.content"],
      [line([{ role: "user", content: [{ type: "text" }] }, answer]), "messages.0.content.0.text"],
      [line([{ content: "secret" }, answer]), "messages.0.role"],
      [line(["secret", answer]), "messages.0"],
      [line([{ ...user, from: "human" }, answer]), "messages.0"],
      [line([user, { ...answer, weight: 0.5 }]), "messages.1.weight"],
      [line([user, { ...answer, weight: true }]), "messages.1.weight"],
      [line([user, { ...answer, train: 1 }]), "messages.1.train"],
      [line([user, { ...answer, trainable: "no" }]), "messages.1.trainable"],
      [line([user, { ...answer, weight: 1, trainable: false }]), "messages.1.trainable"],
      [line([user, { ...answer, content: "\ud83d secret" }]), "messages.1.content"],
      [line([{ ...user, content: "secret \ude00" }, answer]), "messages.0.content"],
      [line([]), "no message in messages, which is an empty list"],
      [line("secret"), "messages"],
      [JSON.stringify({ prompt: "secret" }), "messages"],
      [line([user, { ...answer, content: "" }]), "messages.1.content: the answer is empty"],
      ...[" ", "\n\n", "\t\r\n", "\u00a0\u3000", "\u200b\ufeff"].map((content) =>
        [line([user, { ...answer, content }]), "messages.1.content: the answer holds blanks only"] as const
      ),
      [
        line([user, { ...answer, content: [{ type: "text", text: " " }, { type: "text", text: "\n" }] }]),
        "messages.1.content: the answer holds blanks only"
      ],
      [JSON.stringify({ prompt: "secret", completion: "\n" }), "completion: the answer holds blanks only"],
      [JSON.stringify({ prompt: "secret", completion: "" }), "completion: the answer is empty"],
      [line([user, { ...answer, content: [{ type: "text", text: "" }] }]), "messages.1.content: the answer is empty"],
      [
        JSON.stringify({ prompt: [user], completion: [{ ...answer, content: "" }] }),
        "completion.0.content: the answer"
      ],
      [JSON.stringify({ conversations: [{ from: "gpt", value: "" }] }), "conversations.0.value: the answer is empty"],
      ["[\"secret\"]", "JSON"],
      ["\"secret\"", "no JSON object"],
      ["{\"messages\": secret", "no JSON"]
    ]
    for (const [text, place] of bad) {
      const error = yield* Effect.flip(parse(`${good}\n${text}`, "chats.jsonl"))
      assert.deepInclude(error, { reason: "MalformedLine", line: 2 }, text)
      assert.include(error.message, place)
      assert.notInclude(JSON.stringify(error), "secret")
    }
  }))

it.effect("knows other shapes, reads those that can be learned, and names those that cannot", () =>
  Effect.gen(function*() {
    const asked = [{ role: "user", content: "Q" }]
    const answered = [{ role: "assistant", content: "A" }]
    const shareGpt = (from: string) => ({ conversations: [{ from: "human", value: "Q" }, { from, value: "A" }] })
    const read: ReadonlyArray<object> = [
      shareGpt("gpt"),
      shareGpt("assistant"),
      { conversations: [...asked, ...answered] },
      { messages: [{ from: "user", value: "Q" }, { from: "gpt", value: "A", weight: 1 }] },
      { prompt: asked, completion: answered },
      { prompt: [{ role: "assistant", content: "not this" }, ...asked], completion: answered },
      { messages: [...asked, ...answered], train_on_inputs: false, Train: true, trainOnPrompt: 0 },
      { prompt: "Q\r\nassistant: no blank line", completion: "A" },
      { prompt: "", messages: [...asked, ...answered], chosen: null, text: [], source: "a", id: 7, label: "greeting" },
      { messages: [...asked, ...answered], loss: 0.5, labels: ["a"], is_trainable: true, train_on_outputs: true },
      {
        messages: [...asked, { role: "assistant", content: [{ type: "text", text: "" }, { type: "text", text: "A" }] }]
      },
      { messages: [...asked, { ...answered[0], tool_calls: [], refusal: null, name: "" }], tools: [], functions: null }
    ]
    for (const value of read) {
      assert.deepStrictEqual(
        yield* learnedOf(parse(JSON.stringify(value), "f")),
        ["A"],
        JSON.stringify(value)
      )
    }
    const both = { messages: [...asked, ...answered] }
    const refused: ReadonlyArray<readonly [text: RegExp, value: object]> = [
      [/chosen, rejected/, { prompt: "Q", chosen: "A", rejected: "B" }],
      [/label/, { prompt: "Q", completion: "A", label: false }],
      [/Alpaca/, { instruction: "Q", input: "", output: "A" }],
      [/Gemini/, { contents: [{ role: "model", parts: [{ text: "A" }] }] }],
      [/Rename question to prompt and answer to completion/, { question: "Q", answer: "A" }],
      [/Rename response to completion\./, { prompt: "Q", response: "A" }],
      [/Rename input to prompt and output to completion/, { input: "Q", output: "A" }],
      [/Rename query to prompt and response to completion/, { query: "Q", response: "A" }],
      [/a prompt without a completion/, { prompt: "Q" }],
      ...["prompt", "completion", "chosen", "rejected", "text", "response", "output", "answer"].map((key) =>
        [new RegExp(`has messages and ${key}, .*ignoredKeys`), { ...both, [key]: "B" }] as const
      ),
      ...["chosen", "text", "instruction"].map((key) =>
        [
          new RegExp(`has prompt and completion and ${key}, .*ignoredKeys`),
          { prompt: "Q", completion: "A", [key]: "B" }
        ] as const
      ),
      [/messages and chosen/, { ...both, chosen: answered }],
      [/messages and conversations/, { ...both, conversations: [...asked, ...answered] }],
      [/"bard"/, shareGpt("bard")],
      [/"gpt".*mean assistant/, { messages: [...asked, { role: "gpt", content: "A" }] }],
      [/"robot"/, { messages: [{ role: "robot", content: "Q" }, ...answered] }],
      [/has tools/, { ...both, tools: [{ type: "function" }] }],
      [/has functions/, { ...both, functions: [{}] }],
      [/has system, .*role system/, { ...both, system: "Be brief." }],
      [/has system_prompt, .*role system.*ignoredKeys/, { ...both, system_prompt: "Be brief." }],
      [/has instructions/, { ...both, instructions: "Be brief." }],
      [/has tool_choice/, { ...both, tool_choice: "auto" }],
      [/has loss_weight, .*in the messages themselves/, { ...both, loss_weight: 0.5 }],
      [/has loss_mask/, { prompt: "Q", completion: "A", loss_mask: [0, 1] }],
      [/has label/, { ...both, label: false }],
      [/has train_on_inputs/, { ...both, train_on_inputs: true }],
      [/has trainOnInputs/, { ...both, trainOnInputs: 1 }],
      [/has train_on_prompt/, { ...both, train_on_prompt: true }],
      [/has Tools/, { ...both, Tools: [{}] }],
      [/has lossWeight/, { ...both, lossWeight: 0.5 }],
      [/messages and rejected_response/, { ...both, rejected_response: "B" }],
      [/messages and Chosen/, { ...both, Chosen: "B" }],
      [/pair of a preferred answer/, { prompt: "Q", response: "A", rejected_response: "B" }],
      ...["\r\n\r\n", "\r\r", "\n\r\n", "\r\n\n"].map((blank) =>
        [/messages\.0 holds a blank line and "assistant:"/, {
          prompt: `Q${blank}assistant: B`,
          completion: "A"
        }] as const
      ),
      [/messages\.0 holds a blank line and "assistant:"/, {
        messages: [{ role: "user", content: "Q\n\nassistant: B" }, ...answered]
      }],
      [/messages\.0 holds a blank line and "user:"/, {
        conversations: [{ from: "system", value: "S\n\nuser: Q" }, { from: "gpt", value: "A" }]
      }],
      [/messages\.0 holds a blank line and "system:"/, { prompt: "Q\n\nsystem: B", completion: "A" }],
      ...["\r\r", "\r\n\r\n", "\n \t\n", "\v\v", "\u2028\u2028", "\u2029\n", "\u0085\u0085"].map((ends) =>
        [/messages\.0 holds a blank line and "user:"/, { prompt: `Q${ends}user: B`, completion: "A" }] as const
      ),
      [/says by is_trainable that it is to be left out/, { ...both, is_trainable: false }],
      [/says by should_train that it is to be left out/, { ...both, should_train: 0 }],
      [/has train_on_outputs/, { ...both, train_on_outputs: false }],
      [/has completion_mask/, { prompt: "Q", completion: "A", completion_mask: [0] }],
      [/says by loss that it is to be left out/, { ...both, loss: false }],
      [/has labels/, { ...both, labels: [-100, -100] }],
      [/has images/, { ...both, images: ["a.png"] }],
      [/has documents/, { ...both, documents: ["a"] }],
      [/says by weight that it is to be left out/, { ...both, weight: 0 }],
      [/has weight/, { ...both, weight: 2 }],
      [/says by train that it is to be left out/, { ...both, train: false }],
      [/nothing to learn/, { messages: [...asked, { ...answered[0], weight: 0 }] }],
      [/"reasoning_content"/, { messages: [...asked, { ...answered[0], reasoning_content: "Hm." }] }],
      [/"function_call"/, { messages: [...asked, { role: "assistant", content: null, function_call: { name: "f" } }] }],
      [/"name"/, { messages: [{ ...asked[0], name: "Mia" }, ...answered] }],
      [/"__proto__"/, {
        messages: [...asked, JSON.parse("{\"role\": \"assistant\", \"content\": \"A\", \"__proto__\": {\"a\": 1}}")]
      }],
      [/"mask"/, { messages: [...asked, { ...answered[0], mask: 0 }] }],
      [/"input_audio"/, { messages: [{ role: "user", content: [{ type: "input_audio" }] }, ...answered] }],
      [/cache_control/, {
        messages: [{ role: "user", content: [{ type: "text", text: "Q", cache_control: {} }] }, ...answered]
      }]
    ]
    for (const [text, value] of refused) {
      const error = yield* Effect.flip(learnedOf(parse(JSON.stringify(value), "f")))
      assert.match(error.message, text)
      assert.strictEqual(error.line, 1)
    }
  }))

it.effect("takes blanks for an answer that is not learned, and in the words of others", () =>
  Effect.gen(function*() {
    const answer = { role: "assistant", content: "A" }
    for (const value of [{ ...user, content: " " }, { ...answer, content: " ", weight: 0 }]) {
      assert.deepStrictEqual(yield* learnedOf(parse(line([value, user, answer]), "f")), ["A"])
    }
  }))

it.effect("advises what can be done about a line, and to leave out keys only where that helps", () =>
  Effect.gen(function*() {
    const answer = { role: "assistant", content: "A" }
    const call = { role: "assistant", content: null, tool_calls: [{ id: "1" }] }
    const advice: ReadonlyArray<readonly [text: RegExp, keys: ReadonlyArray<string> | undefined, line: string]> = [
      [/"tool_calls"/, undefined, line([user, call, user, answer])],
      [/"function_call"/, undefined, line([user, { role: "assistant", content: "", function_call: { name: "f" } }])],
      [/has tools/, undefined, line([user, call], { tools: [{}] })],
      [/"tool_calls"/, ["tool_calls"], line([user, { ...answer, tool_calls: [{}] }])],
      [
        /has tools/,
        ["tools", "id", "tool_calls"],
        line([user, { ...answer, id: 1, tool_calls: [{}] }], { tools: [{}] })
      ],
      ...["mask", "Weight", "loss_weight", "Trainable", "train ", "skip", "is_test"].map((key) =>
        [
          /which is not honoured\. Say whether it is learned by "trainable"/,
          undefined,
          line([
            user,
            answer,
            user,
            { ...answer, [key]: 0 }
          ])
        ] as const
      ),
      [/messages and prompt/, ["prompt", "completion"], line([answer], { prompt: "Q", completion: "A" })],
      [/messages and Messages/, undefined, line([answer], { Messages: [answer] })],
      [
        /system follows.*Put what system says at the beginning/,
        undefined,
        line([
          user,
          answer,
          { role: "system", content: "S" },
          user,
          answer
        ])
      ],
      [
        /tool follows.*no place for tools: leave the conversation out/,
        undefined,
        line([
          answer,
          { role: "tool", content: "S" }
        ])
      ],
      [/assistant follows.*Join the two, or mark it/, undefined, line([user, answer, answer])],
      [
        /"output_text" .*Write it as \{"type": "text"/,
        undefined,
        line([{
          role: "assistant",
          content: [{ type: "output_text", text: "A", annotations: [] }]
        }])
      ],
      [
        /"input_text" .*Write it as/,
        undefined,
        line([
          { role: "user", content: [{ type: "input_text", text: "A" }] },
          answer
        ])
      ],
      [/without a type .*Write it as/, undefined, line([{ role: "assistant", content: [{ text: "A" }] }])],
      [
        /"image_url" .*Only text can be learned: remove it/,
        undefined,
        line([
          { role: "user", content: [{ type: "image_url" }] },
          answer
        ])
      ]
    ]
    for (const [text, keys, content] of advice) {
      const error = yield* Effect.flip(Effect.provide(wellAsked(Supervised.chatsFromFile("f")), files(content)))
      assert.match(error.message, text)
      assert.deepStrictEqual(error.keys, keys, content)
      assert.strictEqual(/ignoredKeys/.test(error.message), keys !== undefined)
      if (keys !== undefined) {
        yield* Effect.provide(Supervised.chatsFromFile("f", { ignoredKeys: keys }), files(content))
      }
    }
  }))

it.effect("refuses a key that one object has twice, wherever it is, and names it", () =>
  Effect.gen(function*() {
    const answer = "{\"role\": \"assistant\", \"content\": \"A\"}"
    const twice: ReadonlyArray<readonly [key: string, text: string]> = [
      ["content", `{"messages": [{"role": "assistant", "content": "B", "content": "A"}]}`],
      ["messages", `{"messages": [${answer}], "messages": [${answer}]}`],
      ["content", `{"messages": [{"role": "assistant", "cont\\u0065nt": "B", "content": "A"}]}`],
      ["text", `{"messages": [{"role": "assistant", "content": [{"type": "text", "text": "B" , "text" : "A"}]}]}`],
      ["weight", `{"messages": [{"role": "assistant", "content": "\\\\", "weight": 0, "weight": 1}]}`],
      ["a", `{"messages": [{"role": "assistant", "content": "", "tool_calls": [[{"a": {}, "a": 1}]]}]}`],
      ["__proto__", `{"messages": [${answer}], "__proto__": 1, "__proto__": 2}`],
      ["", `{"messages": [${answer}], "": 1, "": 2}`],
      ["completion", `{"prompt": "Q", "completion": "A", "completion": "B"}`]
    ]
    for (const [key, text] of twice) {
      const error = yield* Effect.flip(parse(`${good}\n${text}`, "f"))
      assert.deepInclude(error, { reason: "MalformedLine", line: 2 }, text)
      assert.include(error.message, `the key ${JSON.stringify(key)} twice`)
    }
    const once = [
      `{"messages": [${answer}, ${answer}], "a": {"b": 1}, "c": {"b": 1, "a": "a"}, "d": ["a", "a", {"a": 1}, {"a": 2}]}`,
      `{"messages": [{"role": "assistant", "content": "\\"content\\": \\"A\\", {\\"role\\": 1,"}]}`,
      `{"messages": [{"role": "assistant", "content": "content"}], "a": "\\\\", "b": "a"}`
    ]
    for (const text of once) assert.lengthOf(yield* parse(text, "f"), 1)
  }))

it.effect("says what a line is instead of JSON, and where, without its content", () =>
  Effect.gen(function*() {
    const start = "{\"messages\": [{\"role\": \"assistant\", \"content\": \"secret\"}]"
    const bad: ReadonlyArray<readonly [what: RegExp, text: string]> = [
      [new RegExp(`from character ${start.length + 12} on: a number is NaN or infinite`), `${start}, "score": NaN}`],
      [/NaN or infinite/, `${start}, "score": -Infinity}`],
      [/undefined/, `${start}, "score": undefined}`],
      [/Python/, `${start}, "score": None}`],
      [/single quotes.*json\.dumps/, "{'messages': [{'role': 'assistant', 'content': 'secret'}]}"],
      [/curly quote/, "{\u201cmessages\u201d: []}"],
      [/without quotes/, `{messages: []}`],
      [/a comment begins/, `${start} /* secret */}`],
      [/a comment begins/, `// secret`],
      [/a comment begins/, `# secret`],
      [/a comma stands behind the last value/, `${start},}`],
      [/a comma stands behind the last value/, "{\"messages\": [\"secret\", ], \"a\": 1}"],
      [/a comma follows the object and ends the line.*sed 's\/,\$\/\/'/, `${start}},`],
      ...["01", "-01", ".5", "-.5", "+1", "0x1", "5.", "1e", "1_000"].map((number) =>
        [/a number is written as JSON does not write them/, `${start}, "a": ${number}}`] as const
      ),
      [/something follows the object/, `${good}${good}`],
      [new RegExp(`NUL bytes from character ${good.length + 1} on.*damaged`), `${good}${"\0".repeat(100)}`],
      [/NUL bytes.*damaged/, `\0\0${good}`],
      [/NUL bytes.*damaged/, "\0".repeat(1000)],
      [/NUL bytes.*damaged/, start.replace("secret", "sec\0ret") + "}"],
      [/NUL bytes.*is UTF-16/, Array.from(good).join("\0")],
      [/nests .* more than 500 deep/, `${start}, "a": ${"[".repeat(1000)}${"]".repeat(1000)}}`],
      [/a control character, such as a tab/, start.replace("secret", "sec\tret") + "}"],
      [/a text has ended, and more follows/, start.replace("secret", "a \"secret\" b") + "}"],
      [/the file ends within the object: it was cut short/, start],
      [/the file ends within the object/, start.slice(0, -8)],
      [/no JSON/, `${start}, "a": 1e}`],
      [/no JSON/, `${start}, "a": ]}`]
    ]
    for (const [what, text] of bad) {
      const error = yield* Effect.flip(parse(`${good}\n${text}`, "f"))
      assert.deepInclude(error, { reason: "MalformedLine", line: 2 }, text)
      assert.match(error.message, what)
      assert.match(error.message, /is no JSON|NUL bytes|nests/)
      assert.notInclude(JSON.stringify(error), "secret")
    }
    const broken = yield* Effect.flip(parse(`${good}\n${start}\n}\n`, "f"))
    assert.match(broken.message, /the line ends within the object/)
    // One whose only line was cut, too, of which nothing goes on in the next.
    assert.match((yield* Effect.flip(parse("{\"messages\": [", "f"))).message, /was cut short/)
  }))

it.effect("names what is wrong with all lines by the first of them, whatever comes behind it", () =>
  Effect.gen(function*() {
    const messages = JSON.stringify(JSON.parse(good).messages)
    const files: ReadonlyArray<readonly [what: RegExp, line: number, text: string]> = [
      [/a comma follows the object and ends the line/, 1, `${good},\n${good},\n${good}\n`],
      [/a comma follows the object and ends the line/, 2, `\n${good} , \r\n${good}\n`],
      [/a comma follows the object and ends the line/, 2, `${good}\n${good},\n${good}\n`],
      [/jq -c '\{messages: \.\}'/, 1, `${messages}\n${messages}\n`],
      [/jq -c '\{messages: \.\}'/, 1, messages],
      [/jq -c '\{messages: \.\}'/, 2, `\n[{"from": "gpt", "value": "A"}]\n`],
      [/jq -c '\{messages: \.\}'/, 2, `${good}\n${messages}\n`],
      [/has "Messages", which is written messages here/, 1, good.replace("messages", "Messages")],
      [/has "MESSAGES", which is written messages here/, 2, `${good}\n${good.replace("messages", "MESSAGES")}`],
      [/has "Prompt", which is written prompt here/, 1, `{"Prompt": "Q", "completion": "A"}`],
      [/has "Completion", which is written completion here/, 1, `{"prompt": "Q", "Completion": "A"}`],
      [/has "Role" at messages\.0, which is written role here/, 1, good.replace("role", "Role")],
      [/has "Content" at messages\.0, which is written content here/, 1, good.replace("content", "Content")]
    ]
    for (const [what, line, text] of files) {
      const error = yield* Effect.flip(parse(text, "f"))
      assert.deepInclude(error, { reason: "MalformedLine", line }, text)
      assert.match(error.message, what)
    }
  }))

it.effect("tells of all lines that are wrong at once, each mistake with the lines that have it", () =>
  Effect.gen(function*() {
    const late = line([user, { role: "assistant", content: "Later.", weight: 2 }])
    const alpaca = JSON.stringify({ instruction: "Q", output: "A" })
    const text = [good, "", alpaca, good, "secret", alpaca, alpaca, late, alpaca, alpaca, alpaca, ""].join("\n")
    const error = yield* Effect.flip(parse(text, "f"))
    assert.deepInclude(error, { reason: "UnknownShape", line: 3, file: "f", totalLines: 10 })
    assert.deepStrictEqual(
      error.others.map(({ line, reason }) => [line, reason]),
      [
        [5, "MalformedLine"],
        [6, "UnknownShape"],
        [7, "UnknownShape"],
        [8, "MalformedLine"],
        [9, "UnknownShape"],
        [10, "UnknownShape"],
        [11, "UnknownShape"]
      ]
    )
    const told = error.message.split("\n")
    assert.lengthOf(told, 4)
    assert.match(told[0]!, /^f:3: .*Alpaca.* The same in lines 6, 7, 9, 10 and 1 more\.$/)
    assert.match(told[1]!, /^ {2}f:5: is no JSON/)
    assert.match(told[2]!, /^ {2}f:8: .*messages\.1\.weight/)
    assert.strictEqual(told[3], "8 of 10 lines are wrong.")
    assert.notInclude(JSON.stringify(error), "secret")

    const one = yield* Effect.flip(parse(`${good}\n{}\n`, "f"))
    assert.match(one.message, /^f:2: has no messages\. .* 1 of 2 lines is wrong\.$/)
    const only = yield* Effect.flip(parse("{}", "f"))
    assert.notInclude(only.message, "wrong.")
  }))

it.effect("names each kind of mistake once, wherever in a line it is, and with each key that is in the way", () =>
  Effect.gen(function*() {
    // The same in another message of each line.
    const places = Array.from({ length: 8 }, (_, i) => line([user, ...Array<object>(i).fill(user), {}])).join("\n")
    const ofPlaces = yield* Effect.flip(parse(places, "f"))
    assert.lengthOf(ofPlaces.others, 7)
    assert.match(
      ofPlaces.message,
      /^f:1: .*messages\.1.* The same in lines 2, 3, 4, 5 and 3 more\. 8 of 8 lines are wrong\.$/
    )
    const keys = Array.from(
      { length: 25 },
      (_, i) => line([user], { tools: 1 }).replace("tools", `text${"_".repeat(i)}`)
    )
    const ofKeys = yield* Effect.flip(
      parse(keys.map((text) => text.replace(/"role":"user"/g, "\"role\":\"assistant\"")).join("\n"), "f")
    )
    const told = ofKeys.message.split("\n")
    assert.lengthOf(told, 22)
    assert.strictEqual(told[20], "  and 5 other mistakes, in 5 lines")
    assert.match(
      told[21]!,
      /^25 of 25 lines are wrong\. If text, text_, .* and 5 more are of no account, name them in /
    )
  }))

it.effect("looks at all of a file, however many lines are wrong, holds a hundred of them, and tells the totals", () =>
  Effect.gen(function*() {
    const part = new TextEncoder().encode(`${good}\n{}\n`.repeat(300))
    const last = new TextEncoder().encode(`{\n${good.replace("Good day.", "")}\n`)
    const layer = FileSystem.layerNoop({
      stat: () =>
        Effect.succeed(
          { type: "File", size: FileSystem.Size(2 ** 40), mtime: Option.none() } as FileSystem.File.Info
        ),
      stream: () => Stream.concat(Stream.repeatValue(part).pipe(Stream.take(100)), Stream.make(last))
    })
    const error = yield* Effect.flip(Effect.provide(read("f"), layer))
    assert.deepInclude(error, { line: 2, lines: 30_000, wrongLines: 30_002, totalLines: 60_002 })
    assert.lengthOf(error.others, 101)
    assert.deepInclude(error.others[98], { line: 200 })
    // Mistakes that no line before has are named, wherever they stand.
    const told = error.message.split("\n")
    assert.match(told[0]!, /^f:2: has no messages\. .* The same in lines 4, 6, 8, 10 and 29995 more\.$/)
    assert.match(told[1]!, /^ {2}f:60001: is no JSON/)
    assert.match(told[2]!, /^ {2}f:60002: .*the answer is empty/)
    assert.strictEqual(told[3], "30002 of 60002 lines are wrong.")
  }))

it.effect("as a stream it fails at the first line that is wrong, and names that alone", () =>
  Effect.gen(function*() {
    const seen: Array<number> = []
    const error = yield* ChatDataset.stream("f").pipe(
      Stream.runForEach(({ line }) => Effect.sync(() => seen.push(line))),
      Effect.provide(files(`${good}\n{}\n[]\n${good}\n`, good.length + 1)),
      wellAsked,
      Effect.flip
    )
    assert.deepStrictEqual(seen, [1])
    assert.strictEqual(error.line, 2)
    assert.isUndefined(error.totalLines)
    assert.lengthOf(error.others, 0)
  }))

it.effect("calls a file what it is, whatever else is wrong with the lines before", () =>
  Effect.gen(function*() {
    const latin1 = Buffer.concat([Buffer.from(`{}\n${good}\n{}\n`), Buffer.from(good.replace("H", "é"), "latin1")])
    const error = yield* Effect.flip(Effect.provide(read("f"), files(latin1)))
    assert.deepInclude(error, { reason: "WrongFormat", line: 4 })
    assert.lengthOf(error.others, 0)
    // A table begins with its first line, and prose may have commas later on.
    const prose = yield* Effect.flip(parse("Hello!\nApples, pears\n", "f"))
    assert.deepInclude(prose, { reason: "MalformedLine", line: 1, totalLines: 2 })
  }))

it.effect("names line ends of CR alone in the first MiBs of a file, whatever its size", () =>
  Effect.gen(function*() {
    const part = new TextEncoder().encode(`${good}\r`.repeat(Math.ceil(2 ** 20 / good.length)))
    let given = 0
    const layer = FileSystem.layerNoop({
      stat: () =>
        Effect.succeed({ type: "File", size: FileSystem.Size(2 ** 40), mtime: Option.none() } as FileSystem.File.Info),
      stream: () => Stream.tap(Stream.repeatValue(part), () => Effect.sync(() => given++))
    })
    for (const wholly of [read("f"), wellAsked(Stream.runDrain(ChatDataset.stream("f")))]) {
      given = 0
      const error = yield* Effect.flip(Effect.provide(wholly, layer))
      assert.strictEqual(error.reason, "WrongFormat")
      assert.match(error.message, /CR alone.*tr /)
      assert.isAtMost(given, 4)
    }
  }))

it.effect("takes a line of many MiB that has CRs in it as JSON allows them", () =>
  Effect.gen(function*() {
    const long = line([user, { role: "assistant", content: "a".repeat(3 * 2 ** 20) }]).replaceAll(",", "\r,\r")
    for (const text of [long, `${good}\n${long}\n${good}`]) {
      assert.isAbove((yield* Effect.provide(read("f"), files(text, 2 ** 20))).length, 0)
    }
  }))

it.effect("leaves out the keys of lines and messages that it is told are of no account", () =>
  Effect.gen(function*() {
    const text = line([{ ...user, timestamp: 1 }, { role: "assistant", content: "A", timestamp: 2, id: "x" }])
    const error = yield* Effect.flip(learnedOf(parse(text, "f", { ignoredKeys: ["timestamp"] })))
    assert.match(error.message, /"id"/)
    assert.deepStrictEqual(
      yield* learnedOf(parse(text, "f", { ignoredKeys: ["timestamp", "id"] })),
      ["A"]
    )
    const answer = [{ role: "assistant", content: "A" }]
    const beside = line(answer, { system_prompt: "S", prompt: "Q", text: "T", id: 1 })
    const [chat] = yield* parse(beside, "f", { ignoredKeys: ["system_prompt", "prompt", "text"] })
    assert.deepStrictEqual([chat!.messages, chat!.metadata], [answer, { id: 1 }])
    assert.deepInclude(yield* Effect.flip(parse(beside, "f")), { keys: ["prompt", "text"], reason: "UnknownShape" })
    // What is named is left out, whatever it would have said.
    assert.deepStrictEqual(
      yield* learnedOf(parse(line([{ ...answer[0], weight: 0 }]), "f", { ignoredKeys: ["weight"] })),
      ["A"]
    )
  }))

it.effect("calls a file that is no JSON lines in UTF-8 what it is", () =>
  Effect.gen(function*() {
    const utf16 = (text: string) => Buffer.from(text, "utf16le")
    const pretty = JSON.stringify(JSON.parse(good), null, 2)
    const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    const kinds: ReadonlyArray<readonly [text: RegExp, content: string | Uint8Array]> = [
      [/one JSON array/, `[${good}]`],
      [/one JSON array/, `\n [\n${good},\n${good}\n]`],
      [/one JSON array/, `[${good},${good}]\n`],
      [/CR alone.*tr /, `${good}\r${good}\r`],
      [/CR alone/, `${good}\r\r ${good}`],
      [/goes on in the next line/, pretty],
      [/goes on in the next line/, `\n${pretty.replace("{\n", "{")}`],
      [/gzip/, gzipSync(good)],
      [/zip/, "PK\u0003\u0004…"],
      [/zstd/, Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0)],
      [/bzip2/, "BZh91AY"],
      [/Parquet/, "PAR1…"],
      [/UTF-16/, utf16(`\uFEFF${good}`)],
      [/UTF-16/, utf16(good)],
      [/UTF-16/, utf16(`\uFEFF${good}`).swap16()],
      [/UTF-16/, utf16(good).swap16()],
      [/UTF-16/, utf16(`\n${good}`)],
      [/UTF-16/, utf16(` ${good}`).swap16()],
      [/UTF-32/, Uint8Array.of(0xff, 0xfe, 0, 0, 0x7b, 0, 0, 0)],
      [/UTF-32/, Buffer.from(Array.from(good, (c) => [c.charCodeAt(0), 0, 0, 0]).flat())],
      [/Git LFS/, lfs],
      [/table \(CSV\)/, "prompt,completion\nHello,Good day"],
      [/table \(CSV\)/, "\"prompt\",\"completion\"\r\n\"Hello, you\",\"Good day\"\r\n"],
      [/table \(CSV\)/, "id;prompt;completion\n"],
      [/table \(TSV\).*sep=/, "\nprompt\tcompletion\nHello\tGood day"],
      [/HTML/, "<!DOCTYPE html>\n<html>"],
      [
        /not UTF-8/,
        Buffer.concat([Buffer.from(good), Buffer.from([0x0a]), Buffer.from(good.replace("H", "é"), "latin1")])
      ]
    ]
    for (const [text, content] of kinds) {
      for (const partBytes of [1, 7, 2 ** 16]) {
        const error = yield* Effect.flip(Effect.provide(read("f.jsonl"), files(content, partBytes)))
        assert.strictEqual(error.reason, "WrongFormat", String(text))
        assert.match(error.message, text)
      }
    }
  }))

/** Texts with what is easily changed on the way. */
const text = FastCheck.array(
  FastCheck.oneof(
    FastCheck.string({ unit: "grapheme", maxLength: 10 }),
    FastCheck.constantFrom(
      "\n",
      "\n\n",
      "\r\n",
      "\t",
      " ",
      "\u2028",
      "\uFEFF",
      "\0",
      "user:",
      "\"",
      "\\",
      "\ud83d\ude00"
    ),
    FastCheck.string({ unit: "binary", maxLength: 4 })
  ),
  { minLength: 1, maxLength: 6 }
).map((pieces) => pieces.join(""))

/** One of `usual` nearly always, which is what a good file has. */
const mostly = <A>(usual: ReadonlyArray<A>, ...odd: ReadonlyArray<A>) =>
  FastCheck.oneof(
    { arbitrary: FastCheck.constantFrom(...usual), weight: 40 },
    { arbitrary: FastCheck.constantFrom(...odd), weight: 1 }
  )

const message: FastCheck.Arbitrary<Record<string, unknown>> = FastCheck.record({
  role: mostly(["user", "assistant", "system"], "robot"),
  content: FastCheck.oneof(
    { arbitrary: text, weight: 20 },
    {
      arbitrary: FastCheck.array(FastCheck.record({ type: FastCheck.constant("text"), text }), { minLength: 1 }),
      weight: 5
    },
    { arbitrary: FastCheck.constantFrom("\ud800", "a\n\nuser: b", "\udfff."), weight: 1 }
  ),
  weight: mostly([0, 1, null], 0.5),
  tool_calls: mostly([[], null], [{}])
}, { requiredKeys: ["role", "content"] })

const content = (value: unknown): string =>
  typeof value === "string"
    ? value
    : (value as ReadonlyArray<{ readonly text: string }>).map(({ text }) => text).join("")

it.effect("learns of any file either what it says, letter for letter, or nothing, and then names a line", () =>
  Effect.gen(function*() {
    const conversations = FastCheck.array(FastCheck.array(message, { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 3
    })
    let taken = 0
    let refused = 0
    for (const file of FastCheck.sample(conversations, { numRuns: 1000, seed: 7 })) {
      const said = file.flat().filter(({ role, weight }) => role === "assistant" && weight !== 0)
      const lines = file.map((messages) => line(messages)).join("\n")
      const result = yield* Effect.either(
        learnedOf(Effect.provide(read("f.jsonl"), files(lines, 11)))
      )
      if (Either.isRight(result)) {
        taken += 1
        assert.deepStrictEqual(result.right, said.map((message) => content(message.content)))
        assert.isFalse(
          file.flat().some(({ role, tool_calls: calls, weight }) =>
            role === "robot" || weight === 0.5 || (Array.isArray(calls) && calls.length > 0)
          )
        )
      } else {
        refused += 1
        assert.isAtLeast(result.left.line!, 1)
        assert.isAtMost(result.left.line!, file.length)
        assert.isAbove(result.left.description.length, 20)
      }
    }
    assert.isAbove(taken, 50)
    assert.isAbove(refused, 50)
  }))

it.effect("reads the same lines in parts of any size", () =>
  Effect.gen(function*() {
    const content = `\uFEFF${good}\r\n\n${good.replace("Hello", "Gr\u00fc\u00df \u{1F600}")}\n${good}`
    const whole = yield* parse(content, "f.jsonl")
    assert.deepStrictEqual(whole.map((chat) => chat.line), [1, 3, 4])
    for (let partBytes = 1; partBytes < 70; partBytes++) {
      assert.deepStrictEqual(yield* Effect.provide(read("f.jsonl"), files(content, partBytes)), whole)
    }
  }))

const isLong = process.env.TINKER_TEST_LONG === "1"

it.effect("reads a file as it comes, of any length, and tells how far it is", () =>
  Effect.gen(function*() {
    const part = new TextEncoder().encode(`${good}\n`.repeat(6000))
    // The long run has 600 MB, more than a text can hold.
    const parts = isLong ? Math.ceil(600e6 / part.length) : 5
    const told: Array<ChatDataset.Progress> = []
    const layer = FileSystem.layerNoop({
      stat: () =>
        Effect.succeed(
          { type: "File", size: FileSystem.Size(parts * part.length), mtime: Option.none() } as FileSystem.File.Info
        ),
      stream: () => Stream.repeatValue(part).pipe(Stream.take(parts))
    })
    let seen = 0
    const count = yield* ChatDataset.stream("f.jsonl", {
      onProgress: (progress) => Effect.sync(() => told.push(progress))
    }).pipe(
      Stream.tap(() => Effect.sync(() => assert.isAtMost(told.length, Math.floor(seen++ / 6000) + 2))),
      Stream.runCount,
      Effect.provide(layer)
    )
    assert.strictEqual(count, parts * 6000)
    assert.deepStrictEqual(
      told.slice(0, parts),
      Array.from({ length: parts }, (_, i) => ({
        bytes: (i + 1) * part.length,
        totalBytes: parts * part.length,
        conversations: (i + 1) * 6000
      }))
    )

    const all: Array<ChatDataset.Progress> = []
    yield* parse(good, "f.jsonl", { onProgress: (progress) => Effect.sync(() => all.push(progress)) })
    assert.deepStrictEqual(all.at(-1), { bytes: good.length, totalBytes: good.length, conversations: 1 })
  }), isLong ? 600_000 : 30_000)

it.effect("refuses a file that is written to while it is read", () =>
  Effect.gen(function*() {
    const bytes = new TextEncoder().encode(`${good}\n`)
    let asked = 0
    const layer = FileSystem.layerNoop({
      stat: () =>
        Effect.sync(() =>
          ({
            type: "File",
            size: FileSystem.Size(bytes.length + asked++),
            mtime: Option.none()
          }) as FileSystem.File.Info
        ),
      stream: () => Stream.make(bytes)
    })
    const error = yield* Effect.flip(Effect.provide(read("f.jsonl"), layer))
    assert.include(error.message, "was changed while it was read")
  }))

it.effect("refuses a line without end while it reads it", () =>
  Effect.gen(function*() {
    const part = new Uint8Array(2 ** 20).fill("a".charCodeAt(0))
    let given = 0
    const layer = FileSystem.layerNoop({
      stat: () =>
        Effect.succeed({ type: "File", size: FileSystem.Size(2 ** 40), mtime: Option.none() } as FileSystem.File.Info),
      stream: () => Stream.tap(Stream.repeatValue(part), () => Effect.sync(() => given++))
    })
    const error = yield* Effect.flip(Effect.provide(read("f.jsonl"), layer))
    assert.deepInclude(error, { reason: "MalformedLine", line: 1 })
    assert.match(error.message, /64 MiB/)
    assert.isAtMost(given, 70)
  }))

it.effect("refuses a conversation in which the assistant says nothing", () =>
  Effect.gen(function*() {
    const text = `${good}\n${line([{ role: "user", content: "Hello?" }])}`
    const error = yield* Effect.flip(parse(text, "chats.jsonl"))
    assert.strictEqual(error.reason, "NoAssistantMessage")
    assert.strictEqual(error.line, 2)
  }))

it.effect("refuses a file without a conversation", () =>
  Effect.gen(function*() {
    for (const text of ["", "\n  \n", "\uFEFF"]) {
      const error = yield* Effect.flip(parse(text, "chats.jsonl"))
      assert.strictEqual(error.reason, "Empty")
    }
  }))

it.effect("reads what has no size, as a pipe, too", () =>
  Effect.gen(function*() {
    const pipe = FileSystem.layerNoop({
      stat: () =>
        Effect.succeed({ type: "FIFO", size: FileSystem.Size(0), mtime: Option.none() } as FileSystem.File.Info),
      readFile: () => Effect.succeed(new TextEncoder().encode(good))
    })
    const told: Array<ChatDataset.Progress> = []
    const onProgress = (progress: ChatDataset.Progress) => Effect.sync(() => told.push(progress))
    assert.lengthOf(yield* Effect.provide(read("/dev/stdin", { onProgress }), pipe), 1)
    assert.deepStrictEqual(told.at(-1), { bytes: good.length, totalBytes: undefined, conversations: 1 })
  }))

it.effect("tells a missing file, one that cannot be read and a folder apart", () =>
  Effect.gen(function*() {
    const missing = yield* Effect.flip(Effect.provide(read("a.jsonl"), failing("NotFound")))
    assert.strictEqual(missing.reason, "FileMissing")
    assert.include(missing.message, "a.jsonl")
    const denied = yield* Effect.flip(Effect.provide(read("a.jsonl"), failing("PermissionDenied")))
    assert.strictEqual(denied.reason, "Unreadable")
    const folder = yield* Effect.flip(Effect.provide(read("."), NodeContext.layer))
    assert.match(folder.message, /is a folder/)
  }))

it.effect("passes over any number of blank lines without a value for each, and counts them", () =>
  Effect.gen(function*() {
    for (const blank of ["\n", "\r\n", " \t\n"]) {
      const text = `${blank.repeat(1000)}${good}\n${blank.repeat(1000)}${good}${blank.repeat(3)}`
      for (const partBytes of [1, 7, 2 ** 16]) {
        const chats = yield* Effect.provide(read("f"), files(text, partBytes))
        assert.deepStrictEqual(chats.map(({ line }) => line), [1001, 2002], JSON.stringify(blank))
      }
      const broken = yield* Effect.flip(parse(`${blank.repeat(1000)}{`, "f"))
      assert.strictEqual(broken.line, 1001)
    }
    const lines = Lines.make()
    assert.deepStrictEqual(Array.from(lines.add(new TextEncoder().encode("\n\r\n".repeat(1000)))), [])
    assert.deepStrictEqual(lines.pending(), { number: 2001, bytes: 0 })
    assert.isUndefined(lines.last())
  }))

it("holds one line of a part at a time, and cuts the next when it is asked for", () => {
  const lines = Lines.make()
  const iterator = lines.add(new TextEncoder().encode("a\n\nb\nc"))[Symbol.iterator]()
  assert.strictEqual(iterator.next().value?.number, 1)
  assert.strictEqual(lines.pending().number, 1)
  assert.strictEqual(iterator.next().value?.number, 3)
  assert.isTrue(iterator.next().done)
  assert.deepStrictEqual(lines.pending(), { number: 4, bytes: 1 })
})
