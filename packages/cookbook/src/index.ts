/**
 * @since 0.1.0
 */
export * as ChatDataset from "./ChatDataset.js"

/**
 * @since 0.1.0
 */
export * as ChatFile from "./ChatFile.js"

/**
 * @since 0.1.0
 */
export * as DatasetError from "./DatasetError.js"

/**
 * @since 0.1.0
 */
export * as ExactAnswers from "./ExactAnswers.js"

/**
 * @since 0.1.0
 */
export * as LearningRateSchedule from "./LearningRateSchedule.js"

/**
 * @since 0.1.0
 */
export * as Lighthouse from "./Lighthouse.js"

/**
 * @since 0.1.0
 */
export * as Message from "./Message.js"

/**
 * @since 0.1.0
 */
export * as RoleRenderer from "./RoleRenderer.js"

/**
 * @since 0.1.0
 */
export * as RunJournal from "./RunJournal.js"

/**
 * @since 0.1.0
 */
export * as RunJournalError from "./RunJournalError.js"

/**
 * @since 0.1.0
 */
export * as Supervised from "./Supervised.js"
