/**
 * A model's words, as a terminal may show them.
 */

/**
 * The text without what would move the cursor of a terminal or change its colors, instead of which stands U+FFFD.
 *
 * @since 0.1.0
 * @category rendering
 */
export const shown = (text: string): string =>
  text.replace(/(?![\n\t])[\p{Cc}\u2028\u2029\u202A-\u202E\u2066-\u2069]/gu, "\uFFFD")
