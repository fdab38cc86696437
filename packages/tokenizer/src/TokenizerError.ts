/**
 * Why there is no tokenizer.
 */

/**
 * @since 0.1.0
 * @category errors
 */
export { TokenizerError } from "@effect-tinker/protocol/TokenizerError"
