"use strict";
const data = JSON.parse(document.getElementById("judged").textContent);
const slider = document.getElementById("threshold");
const judge = () => {
  const threshold = data.levels[slider.valueAsNumber];
  const shipped = slider.valueAsNumber === data.shipped;
  document.getElementById("at").textContent = threshold.toPrecision(5) + (shipped ? " (as shipped)" : "");
  data.groups.forEach((group, row) => {
    const rejected = group.scores.filter((score) => score > threshold).length;
    document.getElementById("group" + row).textContent = rejected + " of " + group.scores.length;
  });
  document.querySelectorAll("[data-score]").forEach((figure) => {
    const rejected = Number(figure.dataset.score) > threshold;
    figure.className = rejected ? "rejected" : "accepted";
    figure.querySelector("span").textContent = rejected ? "rejected" : "accepted";
  });
};
slider.addEventListener("input", judge);
document.getElementById("back").addEventListener("click", () => {
  slider.value = data.shipped;
  judge();
});
judge();
