/** The README of the model that ships. */
export const modelCard = (facts: {
  readonly parameters: number
  readonly tokens: number
  readonly steps: number
  readonly heldOutLoss: number
  readonly contextLength: number
  readonly vocabularySize: number
}): string =>
  `---
license: cc0-1.0
language: en
pipeline_tag: text-generation
---

# tiny-english

A language model of ${(facts.parameters / 1e6).toFixed(2)} million parameters that speaks a very simple English. It is
there to be fine-tuned in a minute on a laptop, in the first program of effect-tinker and in its tests; it knows nothing
of the world and should be asked nothing that matters.

- Architecture: Qwen3, 4 layers, hidden size 128, 4 heads, untied embeddings; float16
- Tokenizer: byte-level BPE of ${facts.vocabularySize} tokens
- Context: ${facts.contextLength} tokens
- Trained on: ${(facts.tokens / 1e6).toFixed(1)} million tokens in ${facts.steps} steps of 2,048, each token seen once
- Loss on held-out text: ${facts.heldOutLoss.toFixed(3)} nats a token; the curve is in \`training.csv\`

## What it has read

Text that a program in this package makes by rules (\`scripts/corpus.ts\`): small events told in several wordings, stories
of them, questions and answers, lists, sums, and chats in the plain layout

\`\`\`
user: Where is the lamp?

assistant: In the cellar.

\`\`\`

Nothing was taken from anywhere else. Model, text and program are in the public domain (CC0).

## Making it again

\`npx tsx packages/llama/scripts/trainBaseModel.ts\` trains it from a fixed seed on the engine of this package and writes
this folder; it takes about half an hour on two cores. Numbers differ in the last digits between machines.
`
