// Collects the sound of the microphone into blocks of 40 ms: 16-bit samples, and when they began.
registerProcessor("blocks", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this.start = 0;
    this.filled = 0;
    this.size = Math.round(sampleRate * 0.04);
    this.block = new Int16Array(this.size);
  }
  process(inputs) {
    const samples = inputs[0][0];
    if (!samples) return true;
    for (let i = 0; i < samples.length; i++) {
      if (!this.filled) this.start = currentTime + i / sampleRate;
      const value = Math.max(-1, Math.min(1, samples[i]));
      this.block[this.filled++] = Math.round(value * 32767);
      if (this.filled === this.size) {
        this.port.postMessage({ start: this.start, block: this.block.buffer }, [this.block.buffer]);
        this.block = new Int16Array(this.size);
        this.filled = 0;
      }
    }
    return true;
  }
});
