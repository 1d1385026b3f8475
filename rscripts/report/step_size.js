// Redraws the curves of step_size.R for the step that the reader chooses. Both problems are linear, y' = A y, so that a step
// of any of the methods multiplies the state by a matrix, as in step_matrix() there.
"use strict";
(() => {
  const times = (P, Q) => P.map((row) => [0, 1].map((j) => row[0] * Q[0][j] + row[1] * Q[1][j]));
  const plus = (P, Q) => P.map((row, i) => row.map((x, j) => x + Q[i][j]));
  const scaled = (P, c) => P.map((row) => row.map((x) => c * x));
  const inverse = ([[a, b], [c, d]]) => scaled([[d, -b], [-c, a]], 1 / (a * d - b * c));
  const I = [[1, 0], [0, 1]];
  const matrix = {
    euler: (Z) => plus(I, Z),
    heun: (Z) => plus(plus(I, Z), scaled(times(Z, Z), 0.5)),
    implicit_euler: (Z) => inverse(plus(I, scaled(Z, -1))),
  };
  const box = document.getElementById("step-size");
  const slider = box.querySelector("input");
  const draw = () => {
    const h = Number(slider.value);
    box.querySelector("output").textContent = h.toFixed(2);
    for (const line of box.querySelectorAll("polyline[data-method]")) {
      const { A, end, left, width, bottom, height, phase } = JSON.parse(line.parentNode.dataset.problem);
      const M = matrix[line.dataset.method](scaled(A, h));
      const points = [];
      let y = [1, 0];
      for (let k = 0; k * h <= end + 1e-9; k += 1) {
        const x = phase ? (left + y[0] * width) : left + (k * h * width) / end;
        points.push(`${x.toFixed(1)},${(bottom - (phase ? y[1] : y[0]) * height).toFixed(1)}`);
        y = M.map((row) => row[0] * y[0] + row[1] * y[1]);
        if (Math.hypot(y[0], y[1]) > 1e3) break;
      }
      line.setAttribute("points", points.join(" "));
    }
  };
  slider.addEventListener("input", draw);
  box.querySelector(".control").hidden = false;
  draw();
})();
