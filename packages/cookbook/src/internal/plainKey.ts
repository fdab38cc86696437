/** A key as it is whatever its capitals, dashes and underlines. */
export const plain = (key: string): string => key.replace(/[_-]/g, "").toLowerCase()
