// One WebSocket to the service, kept up. A ticket is single use, so each attempt asks for a fresh one: only Python
// holds the token. Messages are handed on undecoded.

const SILENCE_MS = 15_000; // the service pings every 5 s
const TICKET_MS = 10_000;
const MAX_WAIT_MS = 15_000;

export class Connection {
  /** Callbacks: text(object), binary(ArrayBuffer), changed(isOpen), needTicket(). */
  constructor({ text, binary, changed, needTicket }) {
    this.callbacks = { text, binary, changed, needTicket };
    this.socket = null;
    this.timer = null;
    this.failures = 0;
    this.wantsTicket = false;
    this.isOpen = false;
    this.lastMessageAt = 0;
    this.waiting = new Map(); // what to say as soon as the socket is open: of each type the last
  }

  /** Starts: with `ticket` at once, without one by asking for it. `urlOf(ticket)` is asked at each reconnect. */
  start(urlOf, ticket) {
    this.stop();
    this.urlOf = urlOf;
    this.failures = 0;
    if (ticket) this.#open(ticket);
    else this.#ask();
  }

  /** Ends the connection for good. */
  stop() {
    clearTimeout(this.timer);
    this.wantsTicket = false;
    this.waiting.clear();
    this.urlOf = null;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.#setOpen(false);
  }

  /** Takes a ticket if one is wanted; tickets that come with other reruns are left to expire. */
  offer(ticket) {
    if (this.wantsTicket && ticket) this.#open(ticket);
  }

  /** Sends `message` now, or when the connection is there; of several of a type that wait the last. */
  say(message) {
    if (this.isOpen) this.socket.send(JSON.stringify(message));
    else this.waiting.set(message.type, message);
  }

  /** Ends a socket that has gone silent; called about once a second. */
  check(now) {
    if (this.isOpen && now - this.lastMessageAt > SILENCE_MS) this.socket.close();
  }

  #ask() {
    this.wantsTicket = true;
    this.callbacks.needTicket();
    this.timer = setTimeout(() => this.#retry(), TICKET_MS);
  }

  #open(ticket) {
    clearTimeout(this.timer);
    this.wantsTicket = false;
    const socket = new WebSocket(this.urlOf(ticket));
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    socket.onopen = () => {
      this.lastMessageAt = performance.now();
      this.failures = 0;
      this.#setOpen(true);
      for (const message of this.waiting.values()) socket.send(JSON.stringify(message));
      this.waiting.clear();
    };
    socket.onmessage = ({ data }) => {
      if (socket !== this.socket) return;
      this.lastMessageAt = performance.now();
      if (typeof data === "string") this.callbacks.text(JSON.parse(data));
      else this.callbacks.binary(data);
    };
    socket.onclose = () => {
      if (socket !== this.socket) return;
      this.socket = null;
      this.#setOpen(false);
      this.#retry();
    };
  }

  #retry() {
    if (!this.urlOf) return;
    this.wantsTicket = false;
    const wait = Math.min(MAX_WAIT_MS, 500 * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures++;
    this.timer = setTimeout(() => this.#ask(), wait);
  }

  #setOpen(isOpen) {
    if (isOpen === this.isOpen) return;
    this.isOpen = isOpen;
    this.callbacks.changed(isOpen);
  }
}

/**
 * Returns the address of a job's live stream; without `publicUrl` the API is on the page's own host.
 *
 * `since` is the newest frame this page has and `tensor` the one it shows, both null at first: the service then sends
 * what the page lacks instead of everything.
 */
export function liveUrl({ publicUrl, port, path }, jobId, { ticket, since, tensor }) {
  const base = publicUrl ? new URL(publicUrl, location.href) : new URL(location.href);
  if (!publicUrl) base.port = port;
  base.protocol = base.protocol === "https:" ? "wss:" : "ws:";
  const root = publicUrl ? base.pathname.replace(/\/$/, "") : path;
  const query = new URLSearchParams({ ticket });
  if (since) query.set("since", since);
  if (tensor) query.set("tensor", tensor);
  return `${base.protocol}//${base.host}${root}/v1/jobs/${encodeURIComponent(jobId)}/live?${query}`;
}
