/** How a sealed password is known from one that is not. What seals and opens it is outside. */
export const sealedMark = 'sealed:1:'

export const isSealed = (text: string): boolean => text.startsWith(sealedMark)
