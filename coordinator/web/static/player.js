// Plays the segments of a session one after the other and shows the wall-clock time of the picture.
"use strict";
(() => {
  const player = document.getElementById("player");
  const now = document.getElementById("now");
  const segments = [...document.querySelectorAll("button.play")];
  let current = -1;

  const load = (index, play) => {
    current = index;
    segments.forEach((button, i) => button.closest("tr").classList.toggle("current", i === index));
    player.src = segments[index].dataset.src;
    if (play) {
      player.play().catch(() => { /* the browser wants a click first; the controls are there */ });
    }
  };

  segments.forEach((button, i) => button.addEventListener("click", () => load(i, true)));
  player.addEventListener("ended", () => {
    if (current + 1 < segments.length) {
      load(current + 1, true);
    }
  });
  player.addEventListener("timeupdate", () => {
    const start = Date.parse(segments[current].dataset.start);
    now.textContent = new Date(start + player.currentTime * 1000).toISOString().replace("T", " ").slice(0, 21) + " UTC";
  });
  player.addEventListener("error", () => {
    now.textContent = "This segment cannot be played.";
  });

  if (segments.length > 0) {
    load(0, false);
  } else {
    player.hidden = true;
    now.textContent = "Nothing of this session is archived yet.";
  }
})();
