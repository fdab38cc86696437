/**
 * @since 0.1.0
 */
export * as Tiktoken from "./Tiktoken.js"

/**
 * @since 0.1.0
 */
export * as Tokenizer from "./Tokenizer.js"

/**
 * @since 0.1.0
 */
export * as TokenizerError from "./TokenizerError.js"
