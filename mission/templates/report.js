"use strict";
for (const swipe of document.querySelectorAll(".swipe")) {
  const range = swipe.querySelector("input");
  if (range) range.addEventListener("input", () => swipe.style.setProperty("--split", `${range.value}%`));
}
for (const box of document.querySelectorAll("input[data-hides]")) {
  const scene = box.closest(".scene");
  box.addEventListener("change", () => scene.classList.toggle(`hide-${box.dataset.hides}`, !box.checked));
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), body = head.closest("table").tBodies[0], column = head.cellIndex;
    const descending = head.getAttribute("aria-sort") === "ascending";
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent;
    const order = (a, b) => {
      const left = key(a), right = key(b), x = Number(left), y = Number(right);
      if (left === "" || right === "") return (left === "") - (right === "");
      const compared = Number.isNaN(x) || Number.isNaN(y) ? left.localeCompare(right) : x - y;
      return descending ? -compared : compared;
    };
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    body.append(...[...body.rows].sort(order));
  });
}
