import effect from "@effect/eslint-plugin"
import parser from "@typescript-eslint/parser"

const dprint = {
  indentWidth: 2,
  lineWidth: 120,
  operatorPosition: "maintain",
  semiColons: "asi",
  quoteStyle: "alwaysDouble",
  trailingCommas: "never",
  "arrowFunction.useParentheses": "force"
}

const barrels = ["effect", "@effect/platform", "@effect/platform-node", "@effect/cli"]

export default [
  { ignores: ["**/dist/**", "**/build/**", "**/node_modules/**", "**/*_pb.ts", "runs/**", "scratchpad/**"] },
  {
    files: ["**/*.ts"],
    languageOptions: { parser, ecmaVersion: "latest", sourceType: "module" },
    plugins: { "@effect": effect },
    rules: {
      "@effect/dprint": ["error", { config: dprint }],
      "no-var": "error",
      "prefer-const": "error",
      eqeqeq: "error",
      "no-restricted-syntax": [
        "error",
        { selector: "TSAnyKeyword", message: "say what it is, or use unknown" }
      ]
    }
  },
  {
    files: ["packages/*/src/**/*.ts"],
    rules: {
      "no-console": "error",
      "@effect/no-import-from-barrel-package": ["error", { packageNames: barrels }],
      "no-restricted-properties": [
        "error",
        { object: "Date", property: "now", message: "time comes from Effect's Clock" },
        { object: "Math", property: "random", message: "randomness comes from Effect's Random" }
      ]
    }
  }
]
