// What the states of saving are called. Only what is in the record is called saved.

/** Of one section. */
export const SECTION = {
  saved: "Saved",
  saving: "Saving …",
  live: "Kept by the engine, not yet permanent",
  offline: "Not saved yet: kept in this browser",
  conflict: "Changed elsewhere: choose a text",
  refused: "Not saved: the engine does not take this text",
};

/** Of the whole draft, in the bar. */
export const SUMMARY = {
  saved: "All saved",
  saving: "Saving …",
  live: "Kept, not yet permanent",
  offline: "Kept in this browser",
  conflict: "Changed elsewhere",
  refused: "Some text not saved",
};

export const REFUSALS = {
  too_large: "This section is too long: it may have 64 KB. Shorten it to have it saved.",
};
