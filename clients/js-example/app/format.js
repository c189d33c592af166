// Numbers and times, for people.

/** 754 000 ms -> "12:34"; an hour and more -> "1:02:03". Never below zero. */
export function clockFace(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  const two = (n) => String(n).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${two(minutes)}:${two(seconds % 60)}`;
}

/** 480 -> "8 min". */
export const minutes = (seconds) => (seconds < 60 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);

export const date = (ms) => new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** 3.50 -> "3.5", 4 -> "4". */
export const number = (value) => String(Math.round(value * 10) / 10);

export const percent = (share) => `${Math.round(share * 100)} %`;

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

/** "parking_garage" or "object-modelling" -> "parking garage", "object modelling". */
export const words = (name) => name.replace(/[_-]/g, " ");

const LABELS = {
  functional_req: "Functional requirements",
  non_functional_req: "Non-functional requirements",
  entities: "Entities",
  classes_and_relationships: "Classes and relationships",
  apis: "Operations",
  code: "Code",
  extra: "Anything else",
};

/** A section's label, as the question has it. */
export const label = (field, sections = []) =>
  sections.find((section) => section.field === field)?.label || LABELS[field] || words(field);

export const LANGUAGE_NAMES = { go: "Go", cpp: "C++", java: "Java", python: "Python" };
