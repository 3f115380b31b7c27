// Tables whose rows are kept: a row that is still there keeps its elements, so that focus, selection and a
// screen reader's place survive each update.

// columns: {label, kind, text(item)} or {label, kind, fill(cell, item)}; `kind` are the cell's classes.
export function table(element, columns, {key, kind = () => ""}) {
  element.setAttribute("role", "table");  // on a phone the rows are laid out as cards
  const head = element.tHead.insertRow();
  head.setAttribute("role", "row");
  for (const column of columns) {
    const th = document.createElement("th");
    th.scope = "col";
    th.setAttribute("role", "columnheader");
    th.className = column.kind ?? "";
    if (column.unseen) {
      const label = document.createElement("span");
      label.className = "unseen";
      label.textContent = column.label;
      th.append(label);
    } else {
      th.textContent = column.label;
    }
    head.append(th);
  }
  const body = element.tBodies[0];
  let rows = new Map();
  return (items) => {
    const kept = new Map();
    let before = body.firstChild;
    for (const item of items) {
      const name = key(item);
      if (kept.has(name)) continue;
      const row = rows.get(name) ?? made(columns);
      kept.set(name, row);
      row.item = item;
      setClass(row, kind(item));
      columns.forEach((column, n) => {
        const cell = row.cells[n];
        if (column.fill) column.fill(cell, item, row);
        else setText(cell, column.text(item));
      });
      // A row in its place is not touched: moving it would take the focus away.
      if (row === before) before = before.nextSibling;
      else body.insertBefore(row, before);
    }
    for (const [name, row] of rows) if (!kept.has(name)) row.remove();
    rows = kept;
    element.hidden = items.length === 0;
  };
}

function made(columns) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  for (const column of columns) {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    cell.className = column.kind ?? "";
    cell.dataset.label = column.unseen || column.bare ? "" : column.label;
  }
  return row;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setClass(element, name) {
  if (element.className !== name) element.className = name;
}

export function chip(cell, text, color) {
  let mark = cell.firstElementChild;
  if (!mark) cell.append((mark = document.createElement("span")));
  setClass(mark, `chip ${color}`);
  setText(mark, text);
}

// One button per cell, made once; `label` is what a screen reader says.
export function button(cell, text, label, press) {
  let made = cell.querySelector("button");
  if (!made) {
    made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => made.press());
    cell.append(made);
  }
  made.press = press;
  if (made.getAttribute("aria-label") !== label) made.setAttribute("aria-label", label);
}

// A bar of parts of a whole: [{share: 0…1, over}], said as "label".
export function bar(parts, label) {
  const all = document.createElement("div");
  fillBar(all, parts, label);
  return all;
}

export function fillBar(all, parts, label) {
  all.className = "bar";
  all.setAttribute("role", "img");
  all.setAttribute("aria-label", label);
  while (all.childElementCount > parts.length) all.lastElementChild.remove();
  parts.forEach((part, n) => {
    const piece = all.children[n] ?? all.appendChild(document.createElement("i"));
    piece.className = part.over ? "over" : "";
    piece.style.width = `${Math.min(100, Math.max(0, part.share * 100))}%`;
  });
}
