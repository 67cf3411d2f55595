// Editing in a text area: indents, and inserts text so that it can be undone.

/**
 * Make Tab and Enter indent. Shift+Tab leaves backwards, and Tab after Escape leaves forwards.
 * @param {HTMLTextAreaElement} area
 */
export function indenting(area) {
  let leaving = false;
  area.addEventListener("keydown", (event) => {
    const modified = event.shiftKey || event.ctrlKey || event.metaKey || event.altKey || event.isComposing;
    if (event.key === "Tab" && !modified && !leaving) {
      event.preventDefault();
      insert(area, "  ");
    } else if (event.key === "Enter" && !modified) {
      event.preventDefault();
      const before = area.value.slice(0, area.selectionStart);
      insert(area, `\n${indentAt(before)}${/[{[(]\s*$/.test(before) ? "  " : ""}`);
    }
    leaving = event.key === "Escape";
  });
  area.addEventListener("blur", () => (leaving = false));
}

/**
 * Return the spaces that begin the last line of a text.
 * @param {string} text
 */
function indentAt(text) {
  return /(?:^|\n)( *)[^\n]*$/.exec(text)?.[1] ?? "";
}

/**
 * Put text in the place of the selection, or of everything, and set the caret behind it.
 * @param {HTMLTextAreaElement} area
 * @param {string} text
 * @param {{everything?: boolean}} [options]
 */
export function insert(area, text, { everything = false } = {}) {
  area.focus();
  if (everything) area.select();
  // This command of browsers is outdated, but nothing else can be undone with Ctrl+Z.
  if (!document.execCommand("insertText", false, text)) {
    area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
    area.dispatchEvent(new Event("input", { bubbles: true }));
  }
}

/**
 * Insert a field of a type into a query: on new lines at the caret, within the braces of the document.
 * @param {HTMLTextAreaElement} area
 * @param {string} field the field as text, of several lines if it has fields
 */
export function insertField(area, field) {
  const { value } = area;
  if (!value.trim()) return insert(area, `{\n${indented(field, "  ")}\n}\n`, { everything: true });
  const before = value.slice(0, area.selectionStart);
  const open = before.split("{").length > before.split("}").length;
  if (!open && value.includes("}")) {
    const end = value.lastIndexOf("}");
    area.setSelectionRange(end, end);
    return insert(area, `${value[end - 1] === "\n" ? "" : "\n"}${indented(field, "  ")}\n`);
  }
  const line = before.slice(before.lastIndexOf("\n") + 1);
  const indent = indentAt(before) + (/[{]\s*$/.test(line) ? "  " : "");
  const text = indented(field, indent);
  insert(area, line.trim() ? `\n${text}` : text.slice(line.length));
}

/**
 * @param {string} text
 * @param {string} indent
 */
function indented(text, indent) {
  return text.replace(/^/gm, indent);
}

/**
 * Set the caret to a line and a column, both counted from 1, and show it.
 * @param {HTMLTextAreaElement} area
 * @param {{line: number, column: number}} location
 */
export function goTo(area, { line, column }) {
  const start = area.value
    .split("\n")
    .slice(0, line - 1)
    .reduce((sum, text) => sum + text.length + 1, 0);
  area.setSelectionRange(start + column - 1, start + column - 1);
  area.focus(); // scrolls to the caret
}
