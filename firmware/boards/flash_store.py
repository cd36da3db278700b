"""The store of a board without FRAM: the same bytes in files of the flash file system, one file a page.

littlefs replaces a file as a whole when it is closed and keeps the old one until then, so a page is either old or new after a
power cut; a write across a page border can be torn between the two pages, as on FRAM. One file of 256 KB would not do: littlefs
rewrites a file from the changed byte to its end.

A write costs one flash erase (about 45 ms on a Pico, with interrupts shut: more than 32 bytes that come in on the line meanwhile
are lost and the link repeats them) and wears one block; littlefs spreads the wear. It allocates: only a FRAM makes the step's
store writes free of the heap (DESIGN R8).
"""

import errno
import os

STORE_BYTES = 262144
PAGE_BYTES = 4096       # a flash block; smaller files are kept inside directory blocks and would fill the file system
PAGES = STORE_BYTES // PAGE_BYTES
ENOSPC = 28             # MicroPython's errno lacks the name


class FlashStore:
    """Pages in `folder`, made when first written; a page that is not there reads as zeros. One page is held in memory."""

    def __init__(self, folder):
        self._folder = folder
        self._page = bytearray(PAGE_BYTES)
        self._number = -1               # the page held; -1: none
        self.writes = 0                 # pages written since boot: the wear
        try:
            os.mkdir(folder)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        # [size and count of free blocks] Every page must find room later: a store that fills up at night is no store.
        flash = os.statvfs(folder)
        missing = PAGES - len(os.listdir(folder))
        if flash[0] * flash[3] < missing * PAGE_BYTES:
            raise OSError(ENOSPC, "no room for a store of %d bytes" % STORE_BYTES)

    def read(self, address, buffer, length):
        """See port_shapes.Store. Raises ValueError outside the store, OSError when the file system fails."""
        _check(address, length)
        done = 0
        while done < length:
            offset = (address + done) % PAGE_BYTES
            self._load((address + done) // PAGE_BYTES)
            page = self._page
            count = min(length - done, PAGE_BYTES - offset)
            for index in range(count):
                buffer[done + index] = page[offset + index]
            done += count

    def write(self, address, buffer, length):
        """See port_shapes.Store. A write that changes nothing costs nothing. Raises as read()."""
        _check(address, length)
        done = 0
        while done < length:
            offset = (address + done) % PAGE_BYTES
            self._load((address + done) // PAGE_BYTES)
            page = self._page
            count = min(length - done, PAGE_BYTES - offset)
            changed = False
            for index in range(count):
                byte = buffer[done + index]
                if page[offset + index] != byte:
                    page[offset + index] = byte
                    changed = True
            if changed:
                self._save()
            done += count

    def _path(self, number):
        return "%s/%02x" % (self._folder, number)

    def _load(self, number):
        if number == self._number:
            return
        page = self._page
        self._number = -1       # while the page is half read it is nobody's
        try:
            with open(self._path(number), "rb") as file:
                if file.readinto(page) != PAGE_BYTES:
                    raise OSError(errno.EIO, "page %02x of the store is short" % number)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            for index in range(PAGE_BYTES):
                page[index] = 0
        self._number = number

    def _save(self):
        number, self._number = self._number, -1     # after a failed write the page in memory is not what the flash holds
        with open(self._path(number), "wb") as file:
            file.write(self._page)
        self._number = number
        self.writes += 1


def _check(address, length):
    if length < 0 or not 0 <= address <= STORE_BYTES - length:
        raise ValueError("store range %d + %d is outside 0..%d" % (address, length, STORE_BYTES))
