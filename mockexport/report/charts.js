"use strict";
// Reads a chart out: what is under the pointer, or chosen by the arrow keys, is marked, and its figures are said below.
(() => {
  const holder = document.getElementById("charts");
  if (holder === null) return;
  const charts = JSON.parse(holder.textContent);
  const whole = new Intl.NumberFormat("en-US");
  const counted = (number, one, many) => `${whole.format(number)} ${number === 1 ? one : many}`;
  const time = hour => {
    const [day, clock] = new Date(hour * 3_600_000).toISOString().split("T");
    return { day, text: `${day} ${clock.slice(0, 5)}` };
  };
  const span = (begin, hours) => {
    if (hours % 24) return `${time(begin).text} to ${time(begin + hours).text.slice(-5)}`;
    return hours === 24 ? time(begin).day : `${time(begin).day} to ${time(begin + hours - 24).day}`;
  };
  const anomalies = (chart, count, number) => !chart.ruled ? "" :
    `, ${counted(number, "anomaly", "anomalies")}${number ? ` (${(100 * number / count).toFixed(1)}%)` : ""}`;

  for (const plot of document.querySelectorAll(".plot")) {
    const chart = charts[Number(plot.dataset.chart)];
    const number = new Intl.NumberFormat("en-US", { minimumFractionDigits: chart.places, maximumFractionDigits: chart.places });
    const entries = chart.pieces ?? chart.bars, slots = chart.slots ?? (chart.end - chart.start) / chart.hours;
    const at = new Map(entries.map(entry => [entry[0], entry]));
    const said = slot => {
      const entry = at.get(slot);
      if (chart.bars) {
        if (entry === undefined) return "no value";
        const [, low, high, count, outside] = entry;
        const values = low === high ? number.format(low) : `${number.format(low)} to ${number.format(high)}`;
        return `${values}: ${counted(count, "value", "values")}${anomalies(chart, count, outside)}`;
      }
      const when = span(chart.start + slot * chart.hours, chart.hours);
      if (entry === undefined) return `${when}: no value`;
      const [, count, outside, low, middle, high] = entry;
      return `${when}: median ${number.format(middle)}, 90% from ${number.format(low)} to ${number.format(high)}; ` +
        `${counted(count, "value", "values")}${anomalies(chart, count, outside)}`;
    };
    const output = document.createElement("output");
    output.textContent = "Point at it, or use the arrow keys.";
    const caption = plot.parentElement.querySelector("figcaption");
    caption.append(output);
    const cursors = [...plot.querySelectorAll("svg")].map(svg => {
      const cursor = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      for (const [name, value] of Object.entries({ class: "cursor", y: 0, width: 1000 / slots, height: "100%" })) cursor.setAttribute(name, value);
      cursor.style.display = "none";
      svg.append(cursor);
      return cursor;
    });
    let chosen = null;
    const attributes = { tabindex: 0, role: "slider", "aria-valuemin": 0, "aria-valuemax": slots - 1, "aria-valuenow": 0,
      "aria-label": `${chart.of}: ${plot.parentElement.getAttribute("aria-label")}`, "aria-valuetext": said(0) };
    for (const [name, value] of Object.entries(attributes)) plot.setAttribute(name, value);
    const choose = slot => {
      chosen = Math.min(Math.max(slot, 0), slots - 1);
      const text = said(chosen);
      output.textContent = text;
      plot.setAttribute("aria-valuenow", chosen);
      plot.setAttribute("aria-valuetext", text);
      for (const cursor of cursors) {
        cursor.setAttribute("x", chosen * 1000 / slots);
        cursor.style.display = "";
      }
    };
    const leave = () => { for (const cursor of cursors) cursor.style.display = "none"; };
    const point = event => {
      const box = plot.getBoundingClientRect();
      choose(Math.floor((event.clientX - box.left) / box.width * slots));
    };
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("focus", () => choose(chosen ?? 0));
    plot.addEventListener("blur", leave);
    plot.addEventListener("keydown", event => {
      const tenth = Math.max(Math.round(slots / 10), 1);
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: tenth, PageDown: -tenth, Home: -slots, End: slots };
      if (!(event.key in steps)) return;
      event.preventDefault();
      choose((chosen ?? 0) + steps[event.key]);
    });
  }
})();
