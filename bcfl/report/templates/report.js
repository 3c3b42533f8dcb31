// Moves the matrix to the round that the slider names. Whatever a run says is put in as text.
(() => {
  "use strict";
  const told = document.getElementById("steps");
  if (!told) return;
  const steps = JSON.parse(told.textContent);
  const slider = document.getElementById("round");

  function source(name) {
    return Bokeh.documents[0]?.get_model_by_name(name);
  }

  function show(number) {
    const step = steps[number];
    const shown = source("shown");
    const image = shown.tags[number];
    shown.data = { ...shown.data, image: [image] };
    const known = [...image].filter(Number.isFinite).sort((one, other) => one - other);
    const low = known[Math.floor(0.02 * known.length)] ?? 0;
    const high = Math.max(known[Math.floor(0.9 * known.length)] ?? 1, low + 1e-6);
    source("colours").setv({ low, high });
    source("marks").data = {
      x: step.unrated.map((each) => each[1]),
      y: step.unrated.map((each) => each[0]),
      why: step.unrated.map((each) => each[2]),
    };
    const members = Math.round(Math.sqrt(image.length));
    source("winners").data = { x: [...step.winners], y: step.winners.map(() => members - 0.2) };
    const numbers = source("numbers");
    if (numbers) {
      const [dark, light] = numbers.tags;
      const cells = [...image].map((value, at) => [value, at]).filter(([value]) => !Number.isNaN(value));
      numbers.data = {
        x: cells.map(([, at]) => at % members),
        y: cells.map(([, at]) => Math.floor(at / members)),
        text: cells.map(([value]) => value.toFixed(2)),
        colour: cells.map(([value]) => (value < (low + high) / 2 ? dark : light)),
      };
    }
    document.getElementById("which").textContent = `${step.chain_round} of ${steps.at(-1).chain_round}`;
    const outcome = step.void ? "void" : `won by ${step.winners.join(", ") || "nobody"}`;
    const accuracy = step.accuracy === null ? "" : `; accuracy ${step.accuracy.toFixed(4)}`;
    document.getElementById("said").textContent =
      `Round ${step.round}: ${step.committed} of ${step.expected} committed, ${step.voted} voted, ` +
      `${outcome}${accuracy}; ${step.gas.toLocaleString("en")} gas; model ${step.model.slice(0, 16)}…`;
    const list = document.createElement("ul");
    for (const [member, reason] of step.left_out) add(list, `member ${member} left out: ${reason}`);
    for (const [reviewer, author, reason] of step.unrated.slice(0, 200)) {
      add(list, `member ${reviewer} did not rate member ${author}: ${reason}`);
    }
    document.getElementById("reasons").replaceChildren(list);
  }

  function add(list, words) {
    const item = document.createElement("li");
    item.textContent = words;
    list.append(item);
  }

  function move(by) {
    slider.value = String(Number(slider.value) + by);
    show(Number(slider.value));
  }

  function begin() {
    if (typeof Bokeh === "undefined" || !source("shown")) {
      setTimeout(begin, 20);
      return;
    }
    slider.addEventListener("input", () => show(Number(slider.value)));
    document.getElementById("before").addEventListener("click", () => move(-1));
    document.getElementById("after").addEventListener("click", () => move(1));
    show(0);
    document.body.dataset.ready = "yes";
  }
  begin();
})();
