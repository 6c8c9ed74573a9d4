"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const make = (name, attributes = {}, text = null) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== null) element.textContent = text;
    return element;
  };
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const percent = (value) => (value === null ? "–" : `${Math.round(value * 100)} %`);

  const MINUTE = 60; // s, what the lanes show
  const JPEG = 1, PCM = 3; // kinds of binary messages
  const HEADER = 16; // bytes
  const MOST_WAITING = 400000; // bytes on their way, beyond which pictures are left out
  const DELAYS = [1, 2, 4, 8, 15]; // s, between two attempts to connect
  const KEPT_LANES = 6;

  const video = find("video");
  const state = {
    name: "idle", // idle, asking, refused, connecting, live, full, gone, ended
    stream: null,
    socket: null,
    sound: null, // AudioContext
    facing: "user",
    token: "",
    attempts: 0,
    timer: 0,
    since: 0, // s, when the session began
    welcome: null,
    counts: {},
    size: [1, 1], // of the pictures sent
    skipped: 0,
  };
  let people = [];
  const lanes = new Map(); // person: {history, lane, canvas}

  // ---- time: one clock for pictures and sound, in seconds ----------------------------------------
  const clock = (now = performance.now()) => now / 1000 - state.since;

  // ---- what the page says ---------------------------------------------------------------------------
  const LAMPS = { live: "live", asking: "waiting", connecting: "waiting", full: "waiting", gone: "waiting", refused: "bad", token: "bad", ended: "bad" };
  const cover = (title, text, button) => {
    find("cover").hidden = title === null;
    if (title === null) return;
    find("cover-title").textContent = title;
    find("cover-text").textContent = text;
    find("start").hidden = !button;
    find("start").textContent = button || "";
  };
  const become = (name, status, title = null, text = "", button = null) => {
    state.name = name;
    document.body.dataset.state = name;
    find("status").textContent = status;
    find("lamp").className = `lamp ${LAMPS[name] || ""}`;
    find("token-form").hidden = name !== "token";
    find("controls").hidden = !state.stream;
    cover(title, text, button);
    headline();
  };
  const headline = () => {
    const names = people.filter((p) => p.is_addressing).map((p) => `Person ${p.person}`);
    const heading = find("headline");
    const last = names.pop();
    let text = "Is somebody talking to you?";
    if (state.name === "live") text = people.length ? "Nobody is talking to you." : "Nobody is in view.";
    if (last) text = `${names.length ? `${names.join(", ")} and ${last} are` : `${last} is`} talking to you.`;
    heading.classList.toggle("yes", Boolean(last));
    if (heading.textContent !== text) heading.textContent = text;
  };

  // ---- camera and microphone --------------------------------------------------------------------------
  const REASONS = {
    NotAllowedError: ["Camera or microphone refused", "Allow both for this page (the camera sign in the address bar, or the site settings), then try again. Nothing was sent."],
    NotFoundError: ["No camera or no microphone found", "Connect both, then try again."],
    NotReadableError: ["The camera or microphone is busy", "Another program may be using it. Close it, then try again."],
    OverconstrainedError: ["This camera cannot be used", "Try another one."],
  };
  const open = () => navigator.mediaDevices.getUserMedia({
    video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, facingMode: state.facing },
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true },
  });
  const start = async () => {
    if (state.stream) { connect(); return; }
    if (!navigator.mediaDevices) {
      become("refused", "no secure connection", "This page needs HTTPS", "Browsers give a page camera and microphone only over HTTPS, or on the machine itself. Start the server with a certificate, or behind a proxy that has one.");
      return;
    }
    become("asking", "asking for permission", "Please allow camera and microphone", "Your browser is asking you. Nothing is sent before you allow it.");
    try {
      state.sound = new AudioContext();
      state.stream = await open();
    } catch (error) {
      stopDevices();
      const [title, text] = REASONS[error.name] || ["Camera and microphone cannot be used", String(error.message || error.name)];
      become("refused", "camera or microphone refused", title, text, "Try again");
      return;
    }
    await use(state.stream);
    connect();
  };
  const use = async (stream) => {
    video.srcObject = stream;
    for (const track of stream.getTracks()) track.addEventListener("ended", lost);
    await video.play().catch(() => {});
    await listen(stream);
    const devices = await navigator.mediaDevices.enumerateDevices();
    find("turn").hidden = devices.filter((d) => d.kind === "videoinput").length < 2;
    watch();
  };
  const lost = () => {
    if (!state.stream) return;
    stop();
    become("refused", "camera lost", "The camera or microphone has gone", "It was unplugged, or taken away from this page.", "Try again");
  };
  const stopDevices = () => {
    if (state.stream) for (const track of state.stream.getTracks()) { track.removeEventListener("ended", lost); track.stop(); }
    if (state.sound) state.sound.close().catch(() => {});
    state.stream = state.sound = null;
    video.srcObject = null;
  };

  // ---- sound: blocks from an audio worklet, dated on the page's clock -------------------------------------
  let offsets = []; // [arrival, page time - audio time] of the last blocks
  const listen = async (stream) => {
    const context = state.sound;
    await context.resume();
    if (!context.hasWorklet) {
      const url = URL.createObjectURL(new Blob([find("microphone").textContent], { type: "text/javascript" }));
      await context.audioWorklet.addModule(url);
      URL.revokeObjectURL(url);
      context.hasWorklet = true;
    }
    state.source?.disconnect();
    state.source = context.createMediaStreamSource(stream);
    const blocks = new AudioWorkletNode(context, "blocks");
    const quiet = context.createGain();
    quiet.gain.value = 0;
    state.source.connect(blocks).connect(quiet).connect(context.destination);
    offsets = [];
    blocks.port.onmessage = ({ data }) => sendSound(data, context);
  };
  const sendSound = ({ start, block }, context) => {
    const now = performance.now() / 1000;
    const length = block.byteLength / 2 / context.sampleRate;
    // A block arrives some time after it ends, never before: the quickest of 10 s dates them all.
    offsets.push([now, now - (start + length)]);
    while (offsets[0][0] < now - 10) offsets.shift();
    const offset = Math.min(...offsets.map(([, value]) => value));
    const time = start + offset - state.since;
    if (!isLive() || time < 0) return;
    const header = new DataView(new ArrayBuffer(HEADER));
    header.setUint8(0, PCM);
    header.setUint8(1, 1);
    header.setUint32(4, context.sampleRate, true);
    header.setFloat64(8, time, true);
    state.socket.send(new Blob([header.buffer, block]));
  };

  // ---- pictures -----------------------------------------------------------------------------------------
  const canvas = make("canvas");
  const pen = canvas.getContext("2d", { alpha: false });
  let isEncoding = false;
  let lastPicture = -1;
  let watching = 0;
  const watch = () => {
    const own = ++watching;
    const next = (now, frame) => {
      if (own !== watching || !state.stream) return;
      sendPicture(frame?.captureTime ?? now);
      schedule();
    };
    const schedule = () => (video.requestVideoFrameCallback ? video.requestVideoFrameCallback(next) : setTimeout(() => next(performance.now()), 33));
    schedule();
  };
  const sendPicture = (now) => {
    const time = clock(now);
    const advice = state.welcome?.advice;
    if (!isLive() || isEncoding || time < 0 || !video.videoWidth) return;
    if (time - lastPicture < 1 / advice.pictures_per_s - 0.008) return;
    if (state.socket.bufferedAmount > MOST_WAITING) { state.skipped += 1; return; }
    const scale = Math.min(1, advice.longer_side / Math.max(video.videoWidth, video.videoHeight));
    const size = [Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale)];
    if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
    pen.drawImage(video, 0, 0, ...size);
    lastPicture = time;
    isEncoding = true;
    const socket = state.socket;
    canvas.toBlob((jpeg) => {
      isEncoding = false;
      if (!jpeg || socket !== state.socket || !isLive()) return;
      const header = new DataView(new ArrayBuffer(HEADER));
      header.setUint8(0, JPEG);
      header.setFloat64(8, time, true);
      state.size = size;
      socket.send(new Blob([header.buffer, jpeg]));
    }, "image/jpeg", 0.8);
  };

  // ---- the connection --------------------------------------------------------------------------------------
  const isLive = () => state.name === "live" && state.socket?.readyState === WebSocket.OPEN;
  const connect = () => {
    clearTimeout(state.timer);
    state.error = null;
    become(state.attempts ? state.name : "connecting", state.attempts ? find("status").textContent : "connecting", ...(state.attempts ? COVERS[state.name] || COVERS.gone : ["Connecting", "The server gets ready for you."]));
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
    state.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "hello", version: 1, token: state.token }));
    socket.onmessage = ({ data }) => { if (socket === state.socket) hear(JSON.parse(data)); };
    socket.onclose = ({ code }) => { if (socket === state.socket) closed(code); };
  };
  const hear = (message) => {
    if (message.type === "welcome") {
      state.welcome = message;
      state.since = performance.now() / 1000;
      lastPicture = -1;
      forget();
      become("live", "live");
      state.settled = setTimeout(() => { state.attempts = 0; }, 5000);
    } else if (message.type === "state") {
      people = message.people;
      state.counts = message.counts;
      remember();
      showPeople();
    } else if (message.type === "event") {
      document.body.dataset.lastEvent = message.event;
      if (message.event === "addressed") document.body.dataset.addressed = Number(document.body.dataset.addressed || 0) + 1;
    } else if (message.type === "error") {
      state.error = message;
    }
  };
  const COVERS = {
    full: ["The server is full", "All its sessions are taken. This page tries again by itself."],
    gone: ["The server cannot be reached", "This page tries to connect again by itself."],
  };
  const closed = (code) => {
    clearTimeout(state.settled);
    state.socket = null;
    people = [];
    showPeople();
    const error = state.error;
    if (code >= 4000) {
      stopDevices();
      const isToken = error?.code === "token";
      const text = error ? `The server says: ${error.message}.` : "The server has ended the session.";
      if (isToken) become("token", "a token is needed", "This server needs a token", "Open the address that the server printed when it started, or enter the token.");
      else become("ended", "ended by the server", "The session has ended", text, "Start again");
      return;
    }
    const wait = DELAYS[Math.min(state.attempts, DELAYS.length - 1)] * (0.8 + 0.4 * Math.random());
    state.attempts += 1;
    const name = error?.code === "full" ? "full" : "gone";
    become(name, name === "full" ? "server full, trying again" : "server gone, reconnecting", ...COVERS[name]);
    state.timer = setTimeout(connect, wait * 1000);
  };
  const stop = () => {
    clearTimeout(state.timer);
    clearTimeout(state.settled);
    const socket = state.socket;
    state.socket = null;
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: "bye" }));
    else socket?.close();
    state.attempts = 0;
    stopDevices();
    people = [];
    showPeople();
    become("idle", "stopped", "Stopped", "Camera and microphone are off, and nothing is sent.", "Start");
  };

  // ---- people ------------------------------------------------------------------------------------------------
  const does = (person) => {
    const words = [];
    if (person.is_addressing) words.push("talking to you");
    else if (person.is_speaking) words.push("speaking");
    if (person.is_looking) words.push("looking at you");
    return words.join(", ") || "quiet";
  };
  const mix = (score) => `color-mix(in srgb, #ff7a2e ${Math.round(clamp(((score ?? 0) - 0.25) * 200, 0, 100))}%, #a9b3c0)`;
  const showBoxes = () => {
    const frame = find("boxes");
    frame.style.width = `${video.clientWidth}px`;
    frame.style.height = `${video.clientHeight}px`;
    const scale = Math.min(video.clientWidth / state.size[0], video.clientHeight / state.size[1]);
    const left = (video.clientWidth - state.size[0] * scale) / 2;
    const top = (video.clientHeight - state.size[1] * scale) / 2;
    while (frame.childElementCount > people.length) frame.lastChild.remove();
    people.forEach((person, index) => {
      const box = frame.children[index] || frame.appendChild(make("div", { class: "box" }));
      if (!box.firstChild) box.append(make("span"));
      const [x1, y1, x2, y2] = person.box;
      box.style.transform = `translate(${left + x1 * scale}px, ${top + y1 * scale}px)`;
      box.style.width = `${(x2 - x1) * scale}px`;
      box.style.height = `${(y2 - y1) * scale}px`;
      box.style.setProperty("--mix", person.is_addressing ? "#ff7a2e" : mix(person.talking));
      box.classList.toggle("low", top + y1 * scale < 26);
      box.firstChild.textContent = `${person.person}${does(person) === "quiet" ? "" : ` · ${does(person)}`}`;
    });
  };
  const showPeople = () => {
    find("count").textContent = people.length || "";
    find("nobody").hidden = people.length > 0;
    const list = find("people");
    while (list.childElementCount > people.length) list.lastChild.remove();
    people.forEach((person, index) => {
      let item = list.children[index];
      if (!item) {
        item = list.appendChild(make("li"));
        const words = make("span");
        words.append(make("span", { class: "name" }), make("span", { class: "does" }));
        item.append(make("span", { class: "face", "aria-hidden": "true" }), words, make("span", { class: "sure" }));
      }
      item.classList.toggle("yes", person.is_addressing);
      item.querySelector(".face").textContent = person.person;
      item.querySelector(".name").textContent = `Person ${person.person}`;
      item.querySelector(".does").textContent = does(person);
      item.querySelector(".sure").textContent = percent(person.talking);
    });
    showBoxes();
    headline();
  };

  // ---- the last minute ----------------------------------------------------------------------------------------
  const forget = () => {
    people = [];
    lanes.clear();
    find("lanes").replaceChildren();
    find("empty").hidden = false;
    showPeople();
  };
  const addLane = (number) => {
    const lane = make("article", { class: "lane", "aria-label": `Person ${number}` });
    const who = make("div", { class: "who" });
    who.append(make("span", { class: "face", "aria-hidden": "true" }, number), make("h3", { class: "name" }, `Person ${number}`));
    const picture = make("canvas", { "aria-hidden": "true" });
    lane.append(who, picture);
    find("lanes").append(lane);
    find("empty").hidden = true;
    lanes.set(number, { lane, picture, history: [] });
  };
  const remember = () => {
    const now = clock();
    for (const person of people) {
      if (!lanes.has(person.person)) addLane(person.person);
      lanes.get(person.person).history.push({ at: now, ...person });
    }
    for (const [number, { history, lane }] of lanes) {
      while (history.length && history[0].at < now - MINUTE - 1) history.shift();
      const isThere = people.some((p) => p.person === number);
      lane.classList.toggle("gone", !isThere);
      if (!history.length || (!isThere && lanes.size > KEPT_LANES)) { lane.remove(); lanes.delete(number); }
    }
    find("empty").hidden = lanes.size > 0;
  };
  const GAP = 0.6; // s without a state, over which nothing is drawn
  const drawLane = ({ picture, history }, now, colours) => {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [picture.clientWidth, picture.clientHeight];
    if (!width) return;
    if (picture.width !== Math.round(width * ratio)) [picture.width, picture.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    const ink = picture.getContext("2d");
    ink.setTransform(ratio, 0, 0, ratio, 0, 0);
    ink.clearRect(0, 0, width, height);
    const x = (at) => width * (1 - (now - at) / MINUTE);
    const [top, bottom] = [12, height - 20];
    const y = (value) => bottom - value * (bottom - top);
    ink.fillStyle = colours.grid;
    for (const value of [0, 0.5, 1]) ink.fillRect(0, Math.round(y(value)), width, 1);
    const ramp = ink.createLinearGradient(0, y(0.25), 0, y(0.75));
    ramp.addColorStop(0, colours.no);
    ramp.addColorStop(1, colours.yes);
    for (let i = 0; i < history.length; i++) {
      const here = history[i];
      const end = Math.min(history[i + 1]?.at ?? now, here.at + GAP);
      const [left, wide] = [x(here.at), Math.max(x(end) - x(here.at), 0.5) + 0.3];
      if (here.is_addressing) { ink.fillStyle = colours.yes; ink.fillRect(left, 2, wide, 5); }
      if (here.is_speaking) { ink.fillStyle = colours.speaking; ink.fillRect(left, bottom + 6, wide, 4); }
      if (here.is_looking) { ink.fillStyle = colours.looking; ink.fillRect(left, bottom + 13, wide, 4); }
      if (here.talking === null) continue;
      ink.fillStyle = ramp;
      ink.globalAlpha = 0.3;
      ink.fillRect(left, y(here.talking), wide, bottom - y(here.talking));
      ink.globalAlpha = 1;
    }
    ink.strokeStyle = ramp;
    ink.lineWidth = 2.2;
    ink.lineJoin = "round";
    ink.beginPath();
    let isDown = false;
    history.forEach((here, i) => {
      const isNext = isDown && here.at - history[i - 1].at < GAP;
      if (here.talking !== null) ink[isNext ? "lineTo" : "moveTo"](x(here.at), y(here.talking));
      isDown = here.talking !== null;
    });
    ink.stroke();
  };
  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(["grid", "no", "yes", "speaking", "looking"].map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    for (const lane of lanes.values()) drawLane(lane, clock(), colours);
  };
  const showFacts = () => {
    const { welcome, counts } = state;
    const isOn = state.name === "live";
    const left = (counts.dropped || 0) + (counts.queue_dropped || 0) + (counts.too_fast || 0) + state.skipped;
    const newest = Math.max(...people.map((p) => p.time_s));
    const delay = people.length ? clock() - newest : null;
    find("delay").textContent = isOn && delay !== null ? `${Math.max(0, Math.round(delay * 1000))} ms behind` : "";
    const rows = [["Server", welcome ? welcome.server : location.host]];
    if (welcome) rows.push(["Waits for", `${welcome.look_ahead} s of what comes after`]);
    if (isOn && counts.received) rows.push(["Pictures", `${counts.received} sent, ${counts.looked_at} looked at, ${left} left out`], ["Sound", `${Math.round(counts.heard)} s heard`]);
    find("facts").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  };

  // ---- build ------------------------------------------------------------------------------------------------------
  const readToken = () => {
    const given = new URLSearchParams(location.hash.slice(1)).get("token");
    if (given) {
      sessionStorage.setItem("quavf-token", given);
      history.replaceState(null, "", location.pathname);
    }
    return given || sessionStorage.getItem("quavf-token") || "";
  };
  state.token = readToken();
  find("start").addEventListener("click", start);
  find("stop").addEventListener("click", stop);
  find("mute").addEventListener("click", () => {
    const [track] = state.stream.getAudioTracks();
    track.enabled = !track.enabled;
    find("mute").setAttribute("aria-pressed", String(!track.enabled));
    find("mute").textContent = track.enabled ? "Mute" : "Muted";
  });
  find("turn").addEventListener("click", async () => {
    state.facing = state.facing === "user" ? "environment" : "user";
    const before = state.stream;
    for (const track of before.getTracks()) { track.removeEventListener("ended", lost); track.stop(); }
    try {
      state.stream = await open();
      for (const track of state.stream.getAudioTracks()) track.enabled = find("mute").getAttribute("aria-pressed") !== "true";
      await use(state.stream);
    } catch {
      lost();
    }
  });
  find("token-form").addEventListener("submit", (event) => {
    event.preventDefault();
    state.token = find("token").value.trim();
    sessionStorage.setItem("quavf-token", state.token);
    start();
  });
  video.addEventListener("loadedmetadata", () => {
    document.documentElement.style.setProperty("--ratio", String(clamp(video.videoWidth / video.videoHeight, 0.5, 2.4)));
  });
  find("host").textContent = location.host;
  new ResizeObserver(showBoxes).observe(video);
  document.body.dataset.state = state.name;
  setInterval(draw, 100);
  setInterval(showFacts, 500);
  showFacts();
})();
