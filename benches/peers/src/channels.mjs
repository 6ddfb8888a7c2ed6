// Hands events to those who follow an operation. Each follower has one slot: the latest event wins.

class Channel {
  #channels;
  #id;
  #latest;
  #wake;

  constructor(channels, id) {
    this.#channels = channels;
    this.#id = id;
  }

  tell(event) {
    this.#latest = event;
    this.#wake?.();
  }

  async next() {
    if (this.#latest === undefined) {
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    const event = this.#latest;
    this.#latest = this.#wake = undefined;
    return event;
  }

  close() {
    this.#channels.forget(this.#id, this);
  }
}

export class Channels {
  #byOperation = new Map();

  open(id) {
    const channel = new Channel(this, id);
    const followers = this.#byOperation.get(id) ?? new Set();
    this.#byOperation.set(id, followers.add(channel));
    return channel;
  }

  forget(id, channel) {
    const followers = this.#byOperation.get(id);
    followers?.delete(channel);
    if (followers?.size === 0) this.#byOperation.delete(id);
  }

  tellAll(event) {
    for (const followers of this.#byOperation.values()) {
      for (const channel of followers) channel.tell(event);
    }
  }
}
