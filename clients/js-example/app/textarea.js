// A textarea one can write code in: Tab indents, Enter goes on at the same depth, Escape lets Tab leave.

const INDENTS = { go: "\t", python: "    ", java: "    ", cpp: "    " };

/** Make `area` an editor for code; `language()` says which. Undo keeps working. */
export function codeKeys(area, language) {
  let leaving = false;
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return void (leaving = true);
    if (event.key === "Tab" && !leaving && !event.ctrlKey && !event.altKey && !area.readOnly) {
      event.preventDefault();
      if (event.shiftKey) outdent(area, INDENTS[language()]);
      else indent(area, INDENTS[language()]);
    } else if (event.key === "Enter" && !event.isComposing && !area.readOnly) {
      event.preventDefault();
      type(area, "\n" + nextIndent(lineBefore(area), INDENTS[language()]));
    }
    if (event.key !== "Tab" && event.key !== "Shift") leaving = false;
  });
  area.addEventListener("blur", () => (leaving = false));
}

/** A new line starts where the last one did; one further in after what opens a block. */
const nextIndent = (line, by) => /^[ \t]*/.exec(line)[0] + (/[{([:]\s*$/.test(line) ? by : "");

function indent(area, by) {
  const { start, end, lines } = block(area);
  if (area.selectionStart === area.selectionEnd) return type(area, by);
  replace(area, start, end, lines.map((line) => (line ? by + line : line)).join("\n"));
}

function outdent(area, by) {
  const { start, end, lines } = block(area);
  const width = new RegExp(`^(\t| {1,${by.length}})`);
  replace(area, start, end, lines.map((line) => line.replace(width, "")).join("\n"));
}

/** The whole lines that the selection touches. */
function block({ value, selectionStart, selectionEnd }) {
  const start = value.lastIndexOf("\n", selectionStart - 1) + 1;
  const last = selectionEnd > selectionStart && value[selectionEnd - 1] === "\n" ? selectionEnd - 1 : selectionEnd;
  const end = value.indexOf("\n", last) === -1 ? value.length : value.indexOf("\n", last);
  return { start, end, lines: value.slice(start, end).split("\n") };
}

const lineBefore = ({ value, selectionStart }) => value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);

function replace(area, start, end, text) {
  if (area.value.slice(start, end) === text) return;
  const collapsed = area.selectionStart === area.selectionEnd;
  const caret = area.selectionStart + text.length - (end - start);
  area.setSelectionRange(start, end);
  type(area, text);
  if (collapsed) area.setSelectionRange(Math.max(start, caret), Math.max(start, caret));
  else area.setSelectionRange(start, start + text.length);
}

/** As if typed. The old command is the only one that undo knows of; where it is gone, the text changes all the same. */
function type(area, text) {
  if (document.execCommand("insertText", false, text)) return;
  area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Show another text, and keep the caret where it was in what has not changed. */
export function showText(area, text) {
  if (area.value === text) return;
  const { value, selectionStart, selectionEnd, scrollTop } = area;
  let same = 0;
  while (same < value.length && same < text.length && value[same] === text[same]) same++;
  const moved = (at) => (at <= same ? at : Math.max(same, at + text.length - value.length));
  area.value = text;
  area.setSelectionRange(moved(selectionStart), moved(selectionEnd));
  area.scrollTop = scrollTop;
}
