export * as TokenLoss from "./TokenLoss.js"
