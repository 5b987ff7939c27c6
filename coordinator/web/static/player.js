// Plays the segments of a session one after the other, shows the wall-clock time of the picture, and thumbnails over the time line.
"use strict";
(() => {
  const player = document.getElementById("player");
  const poster = document.getElementById("poster");
  const now = document.getElementById("now");
  const line = document.getElementById("line");
  const preview = document.getElementById("preview");
  const segments = [...document.querySelectorAll("button.play")];
  let current = -1;

  const clock = (ms, digits = 21) => new Date(ms).toISOString().replace("T", " ").slice(0, digits) + " UTC";

  const load = (index, play, at = 0) => {
    const other = index !== current;
    current = index;
    segments.forEach((button, i) => button.closest("tr").classList.toggle("current", i === index));
    player.parentElement.style.aspectRatio = segments[index].dataset.size;
    if (other) {
      player.src = segments[index].dataset.src;
    }
    if (!play) {
      return;
    }
    poster.hidden = true;
    if (at > 0 || !other) {
      player.currentTime = at;
    }
    player.play().catch(() => { /* the browser wants a click first; the controls are there */ });
  };

  segments.forEach((button, i) => button.addEventListener("click", () => load(i, true)));
  player.addEventListener("play", () => { poster.hidden = true; });
  player.addEventListener("ended", () => {
    if (current + 1 < segments.length) {
      load(current + 1, true);
    }
  });
  player.addEventListener("timeupdate", () => {
    now.textContent = clock(Date.parse(segments[current].dataset.start) + player.currentTime * 1000);
  });
  let retried = 0;
  player.addEventListener("error", () => {
    // An address in the archive is good for a short while; the page's own leads to another one.
    if (Date.now() - retried > 10_000 && player.currentTime > 0) {
      retried = Date.now();
      const at = player.currentTime;
      player.load();
      player.currentTime = at;
      player.play().catch(() => { /* the controls are there */ });
      return;
    }
    now.textContent = "This segment cannot be played.";
  });

  // under is the segment below the pointer and the second of it; nothing where there is none that can be played.
  const under = (event) => {
    const index = segments.findIndex((button) => button.dataset.segment === event.target.dataset.segment);
    if (index < 0) {
      return null;
    }
    const { start, end } = segments[index].dataset;
    const box = event.target.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
    return { index, at: part * (Date.parse(end) - Date.parse(start)) / 1000 };
  };

  let asked = 0;
  const look = async (event) => {
    const turn = ++asked;
    const spot = under(event);
    if (!spot) {
      preview.hidden = true;
      return;
    }
    const { dataset } = segments[spot.index];
    const drawn = await thumbnails.draw(preview.firstElementChild, dataset, spot.at);
    if (turn !== asked) {
      return; // the pointer has moved on
    }
    preview.firstElementChild.hidden = !drawn;
    preview.lastElementChild.textContent = clock(Date.parse(dataset.start) + spot.at * 1000, 19);
    preview.hidden = false;
    const whole = line.getBoundingClientRect();
    const left = event.clientX - whole.left - preview.offsetWidth / 2;
    preview.style.left = Math.max(0, Math.min(left, whole.width - preview.offsetWidth)) + "px";
  };

  if (line) {
    line.addEventListener("pointermove", look);
    line.addEventListener("pointerleave", () => { asked++; preview.hidden = true; });
    line.addEventListener("click", (event) => {
      const spot = under(event);
      if (spot) {
        load(spot.index, true, spot.at);
      }
    });
  }

  if (segments.length > 0) {
    load(0, false);
    thumbnails.draw(poster, segments[0].dataset, 0).then((drawn) => { poster.hidden = !drawn || !player.paused; });
  } else {
    player.parentElement.hidden = true;
    now.textContent = "Nothing of this session is archived yet.";
  }
})();
