"use strict";
// All patients in one table, to be searched and sorted. Without this script the tables of the page are there as they are.
(() => {
  const data = JSON.parse(document.getElementById("patients").textContent);
  const place = document.getElementById("all-patients");
  const SHOWN = 100;
  const number = new Intl.NumberFormat("en-US", { minimumFractionDigits: data.places, maximumFractionDigits: data.places });
  const whole = new Intl.NumberFormat("en-US");
  const make = (name, text, attributes = {}) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const count = data.columns.indexOf("count"), anomalies = data.columns.indexOf("anomalies");
  const columns = [
    // By their numbers, which are in the report's order; a comparison of texts here would be by UTF-16.
    { head: "patient", of: row => row[0], show: number => data.patients[number], text: true },
    { head: "event type", of: row => row[1], show: number => data.types[number], text: true },
  ];
  if (count >= 0 && anomalies >= 0)
    columns.push({ head: "share of anomalies", of: row => row[2 + anomalies] / row[2 + count], show: v => (100 * v).toFixed(1) + "%" });
  data.columns.forEach((name, at) => {
    const fractions = data.rows.some(row => typeof row[2 + at] === "number" && !Number.isInteger(row[2 + at]));
    columns.push({ head: data.heads[at], of: row => row[2 + at], show: v => typeof v === "number" ? (fractions ? number : whole).format(v) : v });
  });
  const sorts = { by: 0, down: false };
  let shown = SHOWN;

  const search = make("input", undefined, { type: "search", placeholder: "part of an id", "aria-label": "Search patients" });
  const types = make("select", undefined, { "aria-label": "Event type" });
  types.append(make("option", "all event types", { value: "" }), ...data.types.map((name, at) => make("option", name, { value: at })));
  const told = make("span", "", { role: "status", class: "soft" });
  const tools = make("div", undefined, { class: "tools" });
  tools.append(search, types, told);
  const head = make("tr"), body = make("tbody"), table = make("table"), top = make("thead");
  top.append(head);
  table.append(top, body);
  const frame = make("div", undefined, { class: "scroll", role: "region", "aria-label": "All patients", tabindex: "0" });
  frame.append(table);
  const more = make("button", "Show more", { type: "button" });
  columns.forEach((column, at) => {
    const button = make("button", column.head, { type: "button" });
    button.addEventListener("click", () => {
      sorts.down = sorts.by === at ? !sorts.down : !column.text;
      sorts.by = at;
      shown = SHOWN;
      draw();
    });
    const cell = make("th", undefined, { scope: "col", class: column.text ? "" : "number" });
    cell.append(button);
    head.append(cell);
  });

  const compare = (a, b) => (a === b ? 0 : a === null || a === undefined ? 1 : b === null || b === undefined ? -1 : a < b ? -1 : 1);
  function draw() {
    const wanted = search.value.toLowerCase(), type = types.value;
    const found = data.rows.filter(row => (type === "" || row[1] === Number(type)) && data.patients[row[0]].toLowerCase().includes(wanted));
    const of = columns[sorts.by].of, sign = sorts.down ? -1 : 1;
    found.sort((a, b) => sign * compare(of(a), of(b)) || a[0] - b[0] || a[1] - b[1]);
    [...head.children].forEach((cell, at) => cell.setAttribute("aria-sort", at !== sorts.by ? "none" : sorts.down ? "descending" : "ascending"));
    body.replaceChildren(...found.slice(0, shown).map(row => {
      const line = make("tr");
      columns.forEach((column, at) => {
        const value = column.of(row);
        const text = value === null || value === undefined ? "–" : column.show ? column.show(value) : value;
        const cell = at === 0 ? make("th", undefined, { scope: "row" }) : make("td", column.text ? undefined : text, { class: column.text ? "text" : "number", "data-head": column.head });
        if (column.text) cell.append(make("bdi", text));
        const course = row[2 + data.columns.length];
        if (at === 0 && course !== undefined) {
          const link = make("a", "course", { href: "#course-" + course });
          cell.append(" ", link);
        }
        line.append(cell);
      });
      return line;
    }));
    told.textContent = `${whole.format(Math.min(shown, found.length))} of ${whole.format(found.length)} lines`;
    more.hidden = found.length <= shown;
  }
  for (const input of [search, types]) input.addEventListener("input", () => { shown = SHOWN; draw(); });
  more.addEventListener("click", () => { shown += 10 * SHOWN; draw(); });
  const unfold = () => {
    const named = document.getElementById(location.hash.slice(1));
    if (named instanceof HTMLDetailsElement) named.open = true;
  };
  addEventListener("hashchange", unfold);
  document.documentElement.classList.add("scripted");
  place.append(tools, frame, more);
  draw();
  unfold();
})();
