/**
 * The version of the packages.
 *
 * @since 0.1.0
 * @category config
 */
export const current = "0.1.0"
