"use strict";
// Plays what the ingest received: an initialisation segment, then fragments as they come, at the live edge.
const player = (() => {
  const video = document.getElementById("video");
  // A picture that is older than this, in milliseconds, is not shown as the present one.
  const STALE = 2000;
  let source = null, buffer = null, waiting = [], cannot = null, fedAt = 0;

  // The codecs as the initialisation segment names them.
  function codecs(bytes) {
    const find = (word) => {
      outer: for (let i = 0; i < bytes.length - 8; i++) {
        for (let k = 0; k < 4; k++) if (bytes[i + k] !== word.charCodeAt(k)) continue outer;
        return i;
      }
      return -1;
    };
    const all = [], avc = find("avcC");
    if (avc >= 0) all.push("avc1." + [5, 6, 7].map((k) => bytes[avc + k].toString(16).padStart(2, "0")).join(""));
    if (find("mp4a") >= 0) all.push("mp4a.40.2");
    return `video/mp4; codecs="${all.join(", ")}"`;
  }

  function end() {
    if (source) { video.removeAttribute("src"); video.load(); }
    source = buffer = null; waiting = []; cannot = null;
    document.getElementById("delay").textContent = "";
    showPicture();
  }

  function start(bytes) {
    end();
    const mine = source = new MediaSource();
    waiting = [bytes];
    video.src = URL.createObjectURL(mine);
    mine.addEventListener("sourceopen", () => {
      URL.revokeObjectURL(video.src);
      if (mine !== source) return;
      const kind = codecs(bytes);
      if (!MediaSource.isTypeSupported(kind)) { fails(kind); return; }
      buffer = mine.addSourceBuffer(kind);
      buffer.addEventListener("updateend", () => { if (mine === source) { follow(); feed(); } });
      feed();
    }, { once: true });
  }

  function feed() {
    if (!buffer || buffer.updating || !waiting.length) return;
    try {
      const total = waiting.reduce((sum, part) => sum + part.length, 0);
      const all = new Uint8Array(total);
      let at = 0;
      for (const part of waiting) { all.set(part, at); at += part.length; }
      waiting = [];
      buffer.appendBuffer(all);
    } catch (error) { fails(error.message); }
  }

  // The stream may well be there: it is this browser that has no picture of it.
  function fails(why) {
    end();
    cannot = `The stream arrives, but this browser cannot show it (${why}).`;
    showPicture();
  }

  // Stays a little behind the newest frame, and catches up when it falls back.
  function follow() {
    const ranges = video.buffered;
    if (!ranges.length) return;
    const edge = ranges.end(ranges.length - 1), behind = edge - video.currentTime;
    if (behind > 1.5 || video.currentTime < ranges.start(ranges.length - 1)) video.currentTime = Math.max(edge - 0.15, ranges.start(ranges.length - 1));
    else video.playbackRate = behind > 0.5 ? 1.08 : 1;
    if (video.paused) video.play().catch(() => {});
    if (!video.videoWidth) return;
    document.getElementById("delay").textContent = `${Math.max(0, behind).toFixed(1)} s behind the server`;
    showPicture();
    if (!buffer.updating && ranges.start(0) < edge - 20) buffer.remove(0, edge - 10);
  }

  function connect() {
    const socket = new WebSocket(`ws://${location.host}/media`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => {
      const bytes = new Uint8Array(data), body = bytes.subarray(1);
      if (bytes[0] === 0) start(body);
      else if (bytes[0] === 2) end();
      else if (source) { fedAt = performance.now(); waiting.push(body); feed(); }
    };
    socket.onclose = () => { end(); setTimeout(connect, 500); };
  }

  const sound = document.getElementById("sound");
  sound.addEventListener("click", () => {
    video.muted = !video.muted;
    sound.setAttribute("aria-pressed", String(!video.muted));
  });
  return {
    video,
    connect,
    /** Why this browser shows no picture, if it cannot. */
    get cannot() { return cannot; },
    plays() {
      const now = source !== null && video.videoWidth > 0 && performance.now() - fedAt < STALE;
      if (!now) document.getElementById("delay").textContent = "";
      return now;
    },
  };
})();
