// What hangs on the emulated Pico's pins: a PIO that keeps time, a rotor with its AS5600, a FRAM. See README.md.

// rp2040js runs PIO from host timers, at no fixed rate. Here each state machine has an alarm on the emulated clock and takes one
// step per divided clock (a delay counts as the clocks it lasts). One that waits for its FIFO sleeps until it is written to.
export function pacePio(mcu) {
  for (const pio of mcu.pio) {
    const alarms = pio.machines.map((sm) => {
      const alarm = mcu.clock.createAlarm(() => {
        alarm.set = false;
        if (!sm.enabled) return;
        const before = sm.cycles;
        sm.step();
        pio.checkChangedPins();
        const starved = sm.waiting && sm.waitType === 3 && sm.txFIFO.empty;       // WaitType.txFIFO
        if (!starved) wake(sm, Math.max(1, sm.cycles - before));
      });
      return alarm;
    });
    const wake = (sm, clocks) => {
      const alarm = alarms[sm.index], divider = (sm.clockDivInt || 65536) + sm.clockDivFrac / 256;
      alarm.set = true;
      alarm.schedule(clocks * divider * 1e9 / mcu.clkSys);
    };
    const write = pio.writeUint32.bind(pio);
    pio.run = () => {};
    pio.writeUint32 = (offset, value) => {
      write(offset, value);
      for (const sm of pio.machines) if (sm.enabled && !alarms[sm.index].set && !(sm.waiting && sm.txFIFO.empty)) wake(sm, 1);
      pio.checkChangedPins();
    };
  }
}

// The rotor turns one microstep at each rising edge of STEP while ENABLE is high: 4096 to the turn, as the encoder has counts.
// The AS5600 on I2C0 shows it; absent, its address is not acknowledged; without magnet, its status says so.
export class Rotor {
  constructor({ step = 2, enable = 6, address = 0x36 } = {}) {
    Object.assign(this, { step, enable, address, steps: 0, lost: 0, offset: 0, present: true, magnet: true, stalled: false, high: false, on: false });
  }
  edge(pin, level) {
    if (pin === this.enable) this.on = level;
    if (pin !== this.step || level === this.high) return;
    this.high = level;
    if (level) { if (this.on && !this.stalled) this.steps++; else this.lost++; }
  }
  register(n) {
    const angle = (((this.steps + this.offset) % 4096) + 4096) % 4096;
    return { 0x0b: this.magnet ? 0x20 : 0x10, 0x0c: angle >> 8, 0x0d: angle & 255 }[n] ?? 0;
  }
  attach(i2c) {
    let pointer = 0, first = true;
    i2c.onConnect = (address, mode) => { first = mode === 0; i2c.completeConnect(this.present && address === this.address); };
    i2c.onWriteByte = (value) => { if (first) pointer = value; first = false; i2c.completeWrite(true); };
    i2c.onReadByte = () => i2c.completeRead(this.register(pointer++));
  }
}

// MB85RS2MT, 256 KB: WREN, WRITE, READ, RDID. Its contents outlive every reset of the chip.
export class Fram {
  constructor({ select = 17 } = {}) { Object.assign(this, { select, present: false, data: new Uint8Array(262144), selected: false, bytes: [], latch: false, writes: 0 }); }
  edge(pin, level) {
    if (pin !== this.select || level !== this.selected) return;
    this.selected = !level;
    if (!level) { this.bytes = []; return; }
    if (this.bytes[0] === 0x06) this.latch = true;
    else if (this.bytes[0] === 0x02) { this.latch = false; this.writes++; }
  }
  transfer(value) {
    const { bytes } = this, n = bytes.push(value) - 1;
    if (!this.present || !this.selected) return 0xff;
    if (bytes[0] === 0x9f) return [0, 0x04, 0x7f, 0x48, 0x03][n] ?? 0;
    const address = ((bytes[1] << 16) | (bytes[2] << 8) | bytes[3]) + n - 4 & 0x3ffff;
    if (bytes[0] === 0x03 && n > 3) return this.data[address];
    if (bytes[0] === 0x02 && n > 3 && this.latch) this.data[address] = value;
    return 0;
  }
  attach(spi, clock) {                                             // a byte takes its eight clocks: DMA relies on that
    let value = 0;
    const done = clock.createAlarm(() => spi.completeTransmit(this.transfer(value)));
    spi.onTransmit = (byte) => { value = byte; done.schedule(8e9 / (spi.clockFrequency || 1e6)); };
  }
}
