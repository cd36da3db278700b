// Emulated Raspberry Pi Pico (npm rp2040js) that boots an unmodified MicroPython. See README.md.
// Started by run_on_board.py; talks JSON lines on stdin/stdout.
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';
import { Fram, Rotor, pacePio } from './devices.mjs';

const opt = JSON.parse(process.argv[2]);
const lib = (p) => import(pathToFileURL(path.join(opt.rp2040js, 'dist/esm', p)).href);
const { RP2040, USBCDC, ConsoleLogger, LogLevel } = await lib('index.js');
const out = (o) => fs.writeSync(1, JSON.stringify(o) + '\n');

// ---------------------------------------------------------------- flash (SPI NOR behind the SSI)
// rp2040js only stubs the SSI; this gives erase/program with plausible busy times, so VFS writes last.
class Flash {
  constructor(mcu, qspi) { this.m = mcu; this.q = qspi; this.rx = []; this.txn = []; this.regs = {}; this.wel = 0; this.busyUntil = 0; this.erases = 0; this.programs = 0; }
  get forced() { return this.q.outover >= 2; }
  end() {
    const t = this.txn; this.txn = [];
    if (!t.length) return;
    const f = this.m.flash, a = ((t[1] << 16) | (t[2] << 8) | t[3]) & 0x1fffff;
    const erase = { 0x20: [4096, 45e6], 0x52: [32768, 120e6], 0xd8: [65536, 150e6] }[t[0]];
    if (t[0] === 0x06) this.wel = 1;
    else if (t[0] === 0x04) this.wel = 0;
    else if (erase && this.wel && t.length >= 4) {
      const s = a - (a % erase[0]); f.fill(0xff, s, s + erase[0]); this.busy(erase[1]); this.erases++;
    } else if (t[0] === 0x02 && this.wel && t.length > 4) {
      const page = a & ~255;
      for (let i = 4; i < t.length; i++) f[page | ((a + i - 4) & 255)] &= t[i];
      this.busy(0.4e6); this.programs++;
    }
  }
  busy(ns) { this.wel = 0; this.busyUntil = this.m.clock.nanos + (opt.flash_time ? ns : 0); }
  byte(v) {
    if (!this.forced && this.rx.length === 0) this.end();       // SSI drives CS itself: drained = new transfer
    this.txn.push(v & 0xff);
    const t = this.txn, n = t.length - 1; let r = 0;
    switch (t[0]) {
      case 0x05: r = n ? ((this.m.clock.nanos < this.busyUntil ? 1 : 0) | (this.wel << 1)) : 0; break;
      case 0x35: r = n ? 2 : 0; break;
      case 0x9f: r = [0, 0xef, 0x40, 0x15][n] ?? 0; break;
      case 0x4b: r = n > 4 ? 0xa0 + n : 0; break;
      case 0x03: r = n > 3 ? this.m.flash[(((t[1] << 16) | (t[2] << 8) | t[3]) + n - 4) & 0xffffff] : 0; break;
    }
    this.rx.push(r);
  }
  readUint32(o) {
    if (o === 0x28) return 0x06 | (this.rx.length ? 0x08 : 0);
    if (o === 0x20) return 0;
    if (o === 0x24) return this.rx.length;
    if (o === 0x58) return 0x51535049;
    if (o === 0x5c) return 0x3430312a;
    if (o >= 0x60 && o < 0xf0) return this.rx.length ? this.rx.shift() : 0;
    return this.regs[o] ?? 0;
  }
  writeUint32(o, v) {
    if (o === 0x08 && !(v & 1)) { this.end(); this.rx = []; }
    if (o >= 0x60 && o < 0xf0) this.byte(v); else this.regs[o] = v >>> 0;
  }
  writeUint32Atomic(o, v, t) { const c = t ? this.readUint32(o) : 0; this.writeUint32(o, t === 1 ? c ^ v : t === 2 ? c | v : t === 3 ? c & ~v : v); }
}
class Regs {                                                     // plain read-back registers
  constructor(on) { this.r = {}; this.on = on; }
  readUint32(o) { return this.r[o & 0xfff] ?? 0; }
  writeUint32(o, v) { this.r[o] = v >>> 0; this.on?.(o, v); }
  writeUint32Atomic(o, v, t) { const c = this.readUint32(o); this.writeUint32(o, t === 1 ? c ^ v : t === 2 ? c | v : t === 3 ? c & ~v : v); }
}

// ---------------------------------------------------------------- the machine, rebuilt on every chip reset
const bootrom = fs.readFileSync(opt.bootrom);
const flash0 = Buffer.alloc(2 << 20, 0xff);
{
  const u = fs.readFileSync(opt.uf2);
  for (let o = 0; o + 512 <= u.length; o += 512) {
    if (u.readUInt32LE(o) !== 0x0a324655) throw Error('not a UF2 block at ' + o);
    u.copy(flash0, u.readUInt32LE(o + 12) - 0x10000000, o + 32, o + 32 + u.readUInt32LE(o + 16));
  }
  if (opt.fs_image) fs.readFileSync(opt.fs_image).copy(flash0, 0xa0000);
}
const adc = [0, 0, 0, 2069, 876];                                   // a bare board on USB: VSYS of 5 V by three, 27 C
const driven = new Map(Object.entries(opt.drive ?? {}).map(([pin, level]) => [+pin, !!level])), watched = new Map();
const rotor = Object.assign(new Rotor(), opt.rotor), fram = Object.assign(new Fram(), opt.fram);
let M = null, boots = 0, random = 1;
const uarts = [0, 1].map((n) => ({ n, sock: null, rxq: [], tx: [], rxBytes: 0, txBytes: 0, overrun: 0, feeding: false, port: null }));
const cdcIO = { sock: null, q: [], text: '' , raw: null };

function boot(prev) {
  const mcu = new RP2040();
  mcu.logger = new ConsoleLogger(opt.verbose ? LogLevel.Warn : LogLevel.Error);
  console.warn = console.error = () => {};
  mcu.loadBootrom(new Uint32Array(bootrom.buffer.slice(bootrom.byteOffset, bootrom.byteOffset + bootrom.length)));
  mcu.flash.set(prev ? prev.mcu.flash : flash0);
  const qspi = { outover: 0 };
  const nor = new Flash(mcu, qspi);
  mcu.peripherals[0x18000] = nor;
  mcu.peripherals[0x40018] = new Regs((o, v) => { if (o === 0x0c) { const ov = (v >> 8) & 3; if (ov !== qspi.outover) { if (ov !== 2) nor.end(); else nor.txn = []; qspi.outover = ov; } } });
  mcu.peripherals[0x14000] = new Regs();                         // XIP_CTRL
  mcu.peripherals[0x40060] = new Regs();                         // ROSC; RANDOMBIT feeds os.urandom
  const rosc = mcu.peripherals[0x40060], plain = rosc.readUint32.bind(rosc);
  rosc.readUint32 = (o) => (o & 0xfff) === 0x1c ? (random = (Math.imul(random, 1103515245) + 12345) >>> 0) >>> 31 : plain(o);
  mcu.peripherals[0x40064] = new Regs();                         // VREG_AND_CHIP_RESET
  const wd = mcu.peripherals[0x40058];
  const m = { mcu, nor, reset: false, cdc: new USBCDC(mcu.usbCtrl), connected: false, watchdog: wd };
  if (prev) { wd.scratchData.set(prev.watchdog.scratchData); wd.reason = prev.watchdog.reason; }
  else mcu.peripherals[0x40064].r[8] = 0x100;                    // HAD_POR
  wd.onWatchdogTrigger = () => { m.reset = true; wd.timer.enable = false; wd.alarm.enable = false; };   // else it re-fires for ever
  mcu.adc.channelValues = adc;
  const beat = mcu.clock.createAlarm(() => { pumpCdc(m); beat.schedule(1e6); });
  beat.schedule(1e6);
  for (const p of mcu.gpio) {
    p.addListener((v) => {
      if (v < 2 && p.functionSelect === 5) p.setInputValue(v === 1);       // outputs read back their own level
      else if (v >= 2 && !driven.has(p.index) && (v === 3) !== p.rawInputValue) p.setInputValue(v === 3);
      rotor.edge(p.index, v === 1);
      fram.edge(p.index, v === 1);
      if (watched.has(p.index)) { const w = watched.get(p.index); w.count++; if (v === 1) w.rises++; if (w.events) out({ ev: 'pin', pin: p.index, v, t_us: Math.round(mcu.clock.nanos / 1e3) }); }
    });
    if (driven.has(p.index)) p.setInputValue(driven.get(p.index));
  }
  pacePio(mcu);
  rotor.on = rotor.high = false;
  rotor.attach(mcu.i2c[0]);
  fram.attach(mcu.spi[0], mcu.clock);
  for (const u of uarts) {
    const d = mcu.uart[u.n];
    uartTx(mcu, d, (b) => { u.tx.push(b); u.txBytes++; });
    u.alarm = mcu.clock.createAlarm(() => feed(u)); u.feeding = false; feed(u);
  }
  quietUsb(m);
  m.cdc.onDeviceConnected = () => { m.connected = true; out({ ev: 'usb', boot: boots, t_us: Math.round(mcu.clock.nanos / 1e3) }); };
  m.cdc.onSerialData = (d) => {
    const b = Buffer.from(d);
    if (cdcIO.sock) cdcIO.sock.write(b);
    cdcIO.raw ? cdcIO.raw(b.toString('latin1')) : out({ ev: 'console', text: b.toString('utf8') });
  };
  mcu.core.PC = 0x10000000;
  m.t0 = mcu.clock.nanos; boots++;
  if (prev) out({ ev: 'reset', boot: boots, reason: wd.reason, at_us: Math.round(prev.mcu.clock.nanos / 1e3) });
  return m;
}
// rp2040js keeps the TX interrupt asserted for ever, which hangs machine.UART of MicroPython >= 1.20.
// A real 32-byte TX FIFO that empties at the baud rate, interrupt on falling to the 1/8 mark.
function uartTx(mcu, d, sent) {
  const TX = 32, fifo = []; let busy = false;
  const irq = () => mcu.setInterrupt(d.irq, !!(d.interruptStatus & d.interruptMask));
  d.checkInterrupts = irq;
  const go = () => { if (fifo.length) { busy = true; alarm.schedule(1e10 / (d.baudDivider ? d.baudRate : 115200)); } else busy = false; };
  const alarm = mcu.clock.createAlarm(() => { sent(fifo.shift()); if (fifo.length === TX / 8) { d.interruptStatus |= 0x20; irq(); } if (!fifo.length) { d.interruptStatus |= 0x20; irq(); } go(); });
  const rd = d.readUint32.bind(d), wr = d.writeUint32.bind(d);
  d.readUint32 = (o) => o !== 0x18 ? rd(o) : (d.rxFIFO.full ? 0x40 : 0) | (d.rxFIFO.empty ? 0x10 : 0) | (fifo.length >= TX ? 0x20 : 0) | (fifo.length ? 0 : 0x80) | (busy ? 0x08 : 0);
  d.writeUint32 = (o, v) => {
    if (o !== 0) return wr(o, v);
    if (fifo.length < TX) fifo.push(v & 0xff);
    if (fifo.length > TX / 8) { d.interruptStatus &= ~0x20; irq(); }
    if (!busy) go();
  };
}
function feed(u) {                                               // one byte per 10 bit times, as on a wire
  const d = M?.mcu.uart[u.n] ?? null;
  if (!d || !u.rxq.length) { u.feeding = false; return; }
  if (!d.enabled || !d.baudDivider) { u.feeding = true; u.alarm.schedule(1e6); return; }
  const b = u.rxq.shift(); u.rxBytes++;
  if (d.rxFIFO.full) u.overrun++; else d.feedByte(b);
  u.feeding = true; u.alarm.schedule(1e10 / d.baudRate);
}
// A real host sends nothing while it has nothing to send; rp2040js answers every OUT poll with an
// empty packet, which is an endless USB interrupt storm. Hold the poll until there is data.
function quietUsb(m) {
  const { cdc } = m, usb = m.mcu.usbCtrl; m.want = 0;
  usb.onEndpointRead = (ep, size) => { if (ep === cdc.outEndpoint) { m.want = size; if (cdcIO.q.length) pumpCdc(m); } };
}
function pumpCdc(m) {
  if (!m.connected || !m.want || !cdcIO.q.length) return;
  const n = m.want; m.want = 0;
  m.mcu.usbCtrl.endpointReadDone(m.cdc.outEndpoint, Uint8Array.from(cdcIO.q.splice(0, n)));
}

// ---------------------------------------------------------------- run loop, never faster than real time * speed
let anchorW = performance.now(), anchorS = 0, paused = false, wall = 0, sim = 0;
function slice() {
  if (paused) return void setTimeout(slice, 2);
  const start = performance.now(), { mcu } = M, { core, clock } = mcu;
  const s0 = clock.nanos, CYC = 1e9 / mcu.clkSys;
  const limit = opt.speed > 0 ? anchorS + ((start - anchorW) + 5) * 1e6 * opt.speed : Infinity;
  let now = start;
  const m = M;
  do {
    for (let i = 0; i < 20000 && !m.reset; i++) {
      if (core.waiting) { const d = clock.nanosToNextAlarm; clock.tick(d); if (clock.nanos > limit) break; }
      else clock.tick(core.executeInstruction() * CYC);
    }
    now = performance.now();
  } while (!M.reset && now - start < 5 && clock.nanos < limit);
  for (const u of uarts) if (u.tx.length) { const b = Buffer.from(u.tx); u.tx = []; u.sock?.write(b); }
  wall += now - start; sim += clock.nanos - s0;
  if (M.reset) { M = boot(M); anchorW = performance.now(); anchorS = M.mcu.clock.nanos; return void setImmediate(slice); }
  if (opt.speed > 0) {
    const ahead = (clock.nanos - anchorS) / 1e6 / opt.speed - (now - anchorW);
    if (ahead < -5) { anchorW = now; anchorS = clock.nanos; }     // too slow: do not catch up later
    if (ahead > 1) return void setTimeout(slice, ahead);
  }
  setImmediate(slice);
}

// ---------------------------------------------------------------- outside: TCP and commands
function serve(port, on) {
  return new Promise((ok) => { const s = net.createServer((c) => { c.setNoDelay(true); c.on('error', () => {}); on(c); }); s.listen(port, '127.0.0.1', () => ok(s.address().port)); });
}
for (const u of uarts) u.port = await serve(opt[`uart${u.n}_port`] ?? 0, (c) => {
  u.sock?.destroy(); u.sock = c;
  c.on('data', (d) => { for (const b of d) u.rxq.push(b); if (!u.feeding) feed(u); });
  c.on('close', () => { if (u.sock === c) u.sock = null; });
});
const replPort = await serve(opt.repl_port ?? 0, (c) => {
  cdcIO.sock = c; c.on('data', (d) => { for (const b of d) cdcIO.q.push(b); }); c.on('close', () => { if (cdcIO.sock === c) cdcIO.sock = null; });
});
async function exec(code, timeout = 120000) {                    // raw REPL over USB-CDC (stops the running main)
  let buf = ''; cdcIO.raw = (s) => { buf += s; };
  const send = (s) => { for (const b of Buffer.from(s)) cdcIO.q.push(b); };
  const until = async (s) => { const t = Date.now(); while (!buf.includes(s)) { if (Date.now() - t > timeout) throw Error('exec timeout, got ' + JSON.stringify(buf.slice(-300))); await new Promise((r) => setTimeout(r, 2)); } };
  try {
    send('\r\x03\x03\x01'); await until('raw REPL; CTRL-B to exit\r\n>'); buf = '';
    const s = M.mcu.clock.nanos, w = performance.now();
    send(code + '\x04'); await until('\x04>');
    const [o, e] = buf.slice(2).split('\x04');
    send('\x02'); return { stdout: o, stderr: e, sim_s: (M.mcu.clock.nanos - s) / 1e9, wall_s: (performance.now() - w) / 1e3 };
  } finally { cdcIO.raw = null; }
}
function pwm(pin) {
  const c = M.mcu.pwm.channels[(pin >> 1) & 7], b = pin & 1, g = M.mcu.gpio[pin];
  const div = ((c.div >> 4) & 255 || 256) + (c.div & 15) / 16, cc = b ? c.cc >>> 16 : c.cc & 0xffff;
  return { pin, is_pwm: g.functionSelect === 4, enabled: !!(c.csr & 1), top: c.top, cc, duty: Math.min(1, cc / (c.top + 1)), freq: M.mcu.clkSys / div / (c.top + 1) / (c.csr & 2 ? 2 : 1) };
}
const level = (pin) => { const g = M.mcu.gpio[pin]; return { pin, state: g.value, out: g.outputEnable, level: g.outputEnable ? +g.outputValue : +g.rawInputValue, func: g.functionSelect }; };
const cmds = {
  adc: (c) => { adc[c.ch] = c.volts !== undefined ? Math.max(0, Math.min(4095, Math.round(c.volts / 3.3 * 4095))) : c.value; return { value: adc[c.ch] }; },
  drive: (c) => { driven.set(c.pin, !!c.value); M.mcu.gpio[c.pin].setInputValue(!!c.value); return {}; },
  release: (c) => { driven.delete(c.pin); const g = M.mcu.gpio[c.pin]; g.setInputValue(g.pullupEnabled); return {}; },
  read: (c) => level(c.pin),
  pwm: (c) => pwm(c.pin),
  watch: (c) => { for (const p of c.pins) watched.set(p, { count: 0, rises: 0, events: c.events !== false }); return {}; },
  counts: () => ({ counts: Object.fromEntries([...watched].map(([k, v]) => [k, v.count])), rises: Object.fromEntries([...watched].map(([k, v]) => [k, v.rises])) }),
  rotor: (c) => { for (const k of ['present', 'magnet', 'stalled', 'offset']) if (c[k] !== undefined) rotor[k] = c[k]; return { steps: rotor.steps, lost: rotor.lost, enable: rotor.on }; },
  fram: (c) => { if (c.present !== undefined) fram.present = c.present; return { writes: fram.writes }; },
  stat: () => ({ boots, sim_us: Math.round(M.mcu.clock.nanos / 1e3), busy_wall_s: wall / 1e3, sim_s: sim / 1e9, flash: { erases: M.nor.erases, programs: M.nor.programs }, uart: uarts.map((u) => ({ rx: u.rxBytes, tx: u.txBytes, overrun: u.overrun, queued: u.rxq.length, baud: M.mcu.uart[u.n].baudDivider ? M.mcu.uart[u.n].baudRate : 0 })) }),
  exec: (c) => exec(c.code, c.timeout_ms),
  reset: () => { M.watchdog.reason = 0; M.watchdog.scratchData.fill(0); M.reset = true; return {}; },
  power: (c) => { paused = !c.on; anchorW = performance.now(); anchorS = M.mcu.clock.nanos; return {}; },
  dump_fs: (c) => { fs.writeFileSync(c.path, M.mcu.flash.subarray(0xa0000, 0x200000)); return {}; },
  quit: () => { setTimeout(() => process.exit(0), 20); return {}; },
};
readline.createInterface({ input: process.stdin }).on('line', async (l) => {
  let c = {}; try { c = JSON.parse(l); const r = await cmds[c.cmd](c); out({ id: c.id, ok: true, ...r }); } catch (e) { out({ id: c.id, ok: false, error: String(e) }); }
}).on('close', () => process.exit(0));
M = boot(null);
out({ ev: 'ready', uart0: uarts[0].port, uart1: uarts[1].port, repl: replPort });
anchorW = performance.now(); slice();
