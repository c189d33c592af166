// What an embedding page imports.

export { InterviewClient } from "./interview_client.js";
export { Refused } from "./commands.js";
export { FIELDS, LANGUAGES, LIMITS, REQUIREMENT_FIELDS } from "./words.js";
