// Runs one script on the 32-bit MicroPython: node wasm.mjs MICROPYTHON_MJS SCRIPT FOLDER...
// Each FOLDER is copied into the runtime's own file system and put on sys.path. The script's cells (split at lines "#%%")
// run one by one: this build collects garbage only between two of them, so a cell may ask for it and the next one measure.
import fs from "node:fs";
import path from "node:path";

const [, , runtime, script, ...folders] = process.argv;
const { loadMicroPython } = await import(runtime);
const mp = await loadMicroPython({
  // Small on purpose: gc.mem_alloc walks the whole heap. It grows by itself when it must.
  heapsize: 512 * 1024,
  linebuffer: true,
  stdout: (line) => process.stdout.write(line + "\n"),
  stderr: (line) => process.stderr.write(line + "\n"),
});

function copy(from, to) {
  mp.FS.mkdirTree(to);
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    const source = path.join(from, entry.name);
    if (entry.isDirectory()) copy(source, `${to}/${entry.name}`);
    else if (/\.m?py$/.test(entry.name)) mp.FS.writeFile(`${to}/${entry.name}`, fs.readFileSync(source));
  }
}

mp.runPython("import sys");
folders.forEach((folder, index) => {
  copy(folder, `/tree${index}`);
  mp.runPython(`sys.path.append("/tree${index}")`);
});
let line = 0;
for (const cell of fs.readFileSync(script, "utf-8").split(/^#%%.*$/m)) {
  try {
    mp.runPython("\n".repeat(line) + cell); // so that a traceback has the file's line numbers
  } catch (error) {
    process.stderr.write(`${script}: ${error.message}\n`);
    process.exit(1);
  }
  line += cell.split("\n").length - 1;
}
