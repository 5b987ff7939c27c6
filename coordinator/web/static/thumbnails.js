// Finds the thumbnail of an instant of a segment and draws it.
"use strict";
const thumbnails = (() => {
  const known = new Map(); // what was fetched or is under way, by the index's address

  // read has the browser read an index: from when each thumbnail stands, and where it is in the sprite.
  const read = (index) => new Promise((resolve, reject) => {
    const track = document.createElement("track");
    track.kind = "metadata";
    track.src = index;
    track.addEventListener("load", () => {
      const places = [...track.track.cues].map((cue) => ({ from: cue.startTime, place: /#xywh=(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})$/.exec(cue.text.trim()) }));
      resolve(places.filter((one) => one.place).map(({ from, place }) => ({ from, x: +place[1], y: +place[2], width: +place[3], height: +place[4] })));
    });
    track.addEventListener("error", () => reject(new Error("no thumbnails")));
    document.createElement("video").append(track);
    track.track.mode = "hidden"; // loads it
  });

  const load = async (index, sprite) => {
    const picture = new Image();
    picture.src = sprite;
    const [cues] = await Promise.all([read(index), picture.decode()]);
    return { cues, picture };
  };

  // draw resolves to whether a thumbnail is on the canvas now.
  const draw = async (canvas, segment, at) => {
    if (!segment.thumbnails) {
      return false;
    }
    if (!known.has(segment.thumbnails)) {
      known.set(segment.thumbnails, load(segment.thumbnails, segment.sprite));
    }
    try {
      const { cues: all, picture } = await known.get(segment.thumbnails);
      const cue = all.findLast((one) => one.from <= at) || all[0];
      if (!cue) {
        return false;
      }
      canvas.width = cue.width;
      canvas.height = cue.height;
      canvas.getContext("2d").drawImage(picture, cue.x, cue.y, cue.width, cue.height, 0, 0, cue.width, cue.height);
      return true;
    } catch {
      known.delete(segment.thumbnails); // the next look tries again
      return false;
    }
  };

  return { draw };
})();
