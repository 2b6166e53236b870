/*
 * uno: a virtual Arduino Uno that is a process of its own.
 *
 * An ATmega328P at 16 MHz (libsimavr) with a real bootloader in its boot section, its UART on a
 * pseudo-terminal, paced to the wall clock. It outlives whoever started it, keeps its flash and its
 * counters in a folder, and is spoken to through a Unix socket there. README.md has the protocol.
 *
 * One thread, one loop: wait for a client, a command or the next slice of time; run the processor up
 * to now; move bytes. Everything that must survive `kill -9` is written through before the first
 * byte that tells a client of it can leave the board.
 */
#define _GNU_SOURCE

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "avr_flash.h"
#include "avr_uart.h"
#include "avr_watchdog.h"
#include "sim_avr.h"
#include "sim_core.h"

enum {
	CYCLES_PER_US = 16,     /* the Uno's crystal: 16 MHz */
	FLASH_BYTES = 32 * 1024,
	ANNEX_BYTES = 1024,     /* flash behind the end that a real chip has not: see load_bootloader */
	PAGE_BYTES = 128,       /* ATmega328P: 64 words to a page */
	BLANK = 0xff,           /* an erased flash cell */
	SLICE_US = 250,         /* run this much at once; about three bytes at 115200 baud */
	WAKE_IDLE_US = 1000,    /* how often to look when nobody has just spoken */
	WAKE_PARKED_US = 20000, /* the same for a processor that is off or halted */
	BUSY_US = 20000,        /* a host that spoke this recently is in the middle of an exchange */
	CATCH_UP_US = 40000,    /* a starved host: simulated time stretches rather than rushes */
	OPEN_SETTLE_US = 5000,  /* a client whose open event has not come by then opened unseen */
	OUT_BYTES = 16 * 1024,  /* UART output that the terminal has no room for yet */
	STALL_US = 1000000,     /* hold the processor this long for a client that does not read */
	CONNECTIONS = 8,
	LINE_BYTES = 512,
	ANSWER_BYTES = 1024,
};

/* SPMCSR of the ATmega328P (datasheet, section 26.3) and its page commands. */
enum { SPMCSR = 0x57, SPM_ERASE = 1 << 1, SPM_WRITE = 1 << 2 };

/* STK500 (Atmel AVR061): the commands with parameters, and the answers. */
enum {
	STK_OK = 0x10,
	STK_INSYNC = 0x14,
	STK_EOP = ' ',
	STK_GET_PARAMETER = 'A',
	STK_SET_DEVICE = 'B',
	STK_SET_DEVICE_EXT = 'E',
	STK_LEAVE = 'Q',
	STK_LOAD_ADDRESS = 'U',
	STK_UNIVERSAL = 'V',
	STK_PROG_PAGE = 'd',
	STK_READ_PAGE = 't',
	STK_READ_SIGN = 'u',
};

#define COUNTERS(X)                                                                           \
	X(page_writes) X(resets) X(watchdog_resets) X(leaves) X(app_starts) X(app_starts_by_timeout) \
	X(power_ons) X(opens)

struct counters {
#define X(name) uint64_t name;
	COUNTERS(X)
#undef X
};

enum cause { BY_POWER, BY_RESET, BY_LEAVE, BY_TIMEOUT, BY_APP_WATCHDOG };
enum fault { FAULT_NONE, FAULT_SILENT, FAULT_GARBAGE, FAULT_MUTE };
static const char *const fault_names[] = { "none", "silent", "garbage", "mute" };

/* Follows the loader's conversation: what the processor itself read and wrote, so that data bytes
 * that look like a command never count, nor bytes that a reset threw away. */
struct stk {
	enum { STK_COMMAND, STK_ARGUMENTS, STK_DATA, STK_END, STK_ANSWER, STK_LOST } at;
	uint8_t command;
	uint8_t arguments[3];
	unsigned left, taken;
	unsigned answered; /* bytes of the answer sent so far */
};

struct connection {
	int fd; /* -1: free */
	bool owner;
	char in[LINE_BYTES];
	size_t in_len;
	char out[ANSWER_BYTES];
	size_t out_len;
};

struct board {
	const char *name;
	unsigned linger_s;
	bool has_signature;
	uint8_t signature[3];

	avr_t *avr;
	avr_uart_t *uart;
	avr_watchdog_t *watchdog;
	avr_run_t run;          /* the library swaps avr->run to ask for a watchdog reset */
	avr_io_read_t udr_read;
	avr_io_write_t ubrr_write;
	avr_flashaddr_t boot_start;
	uint64_t cycle_base;    /* cycles of processor lives whose count was set back */
	uint64_t target;        /* run up to this cycle */
	int64_t clock_us;       /* the wall time that `target` stands for */
	bool powered, in_boot;
	bool started;           /* this life's application start has been counted */
	bool left;              /* this life's loader has accepted a leave */
	enum cause cause;       /* why this life began */
	int dirty_page;         /* byte address of a page that SPM changed, or -1 */
	bool page_written;      /* by a write, not by an erase */
	struct stk stk;

	struct counters counters;
	int flash_fd, counters_fd;

	int master;             /* -1 never: a board always has its line */
	char slave[64];
	int events;             /* inotify on the slave; -1 where that is not to be had */
	bool client, draining;
	int handles;            /* opens minus closes that inotify told of */
	bool fell;              /* they came to zero: the next open raises DTR */
	int64_t fell_us;
	bool dtr_on_open;       /* HUPCL was set at the last close */
	int64_t unseen_open_us; /* since when the line is open without an event; 0: it is not */
	int64_t input_us;       /* when the host last spoke */
	uint64_t line_cycle;    /* the cycle at which the last byte that was taken was over */
	uint8_t out[OUT_BYTES];
	size_t out_len;
	int64_t full_since_us;  /* 0: there is room */
	uint64_t lost;          /* output that a client did not fetch in time */
	enum fault fault;
	uint32_t noise;

	int listener;
	struct connection connections[CONNECTIONS];
	int64_t unowned_since_us;
	bool quit;
};

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal_number)
{
	(void)signal_number;
	stop_asked = 1;
}

static int64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("uno: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

/* ---- what is kept: flash image and counters ------------------------------------------------ */

static void write_at(int fd, const void *bytes, size_t len, off_t at, const char *what)
{
	ssize_t n = pwrite(fd, bytes, len, at);
	if (n != (ssize_t)len)
		die("write %s: %s", what, n < 0 ? strerror(errno) : "cut short");
}

/* Puts a whole file in place at once: whoever looks sees the old one or the new one. */
static bool write_file(const char *path, const void *bytes, size_t len)
{
	char temp[4096];
	if (snprintf(temp, sizeof temp, "%s.new-%d", path, (int)getpid()) >= (int)sizeof temp) {
		errno = ENAMETOOLONG;
		return false;
	}
	int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return false;
	ssize_t n = write(fd, bytes, len);
	bool ok = n == (ssize_t)len;
	if (n >= 0 && !ok)
		errno = ENOSPC;
	ok = close(fd) == 0 && ok && rename(temp, path) == 0;
	if (!ok) {
		int saved = errno;
		unlink(temp);
		errno = saved;
	}
	return ok;
}

/* Fixed in size, so that one pwrite replaces it whole and needs no room on the disk. */
static size_t counters_text(const struct counters *c, char *text, size_t size)
{
	size_t len = 0;
#define X(field) len += (size_t)snprintf(text + len, size - len, #field "=%020" PRIu64 "\n", c->field);
	COUNTERS(X)
#undef X
	return len;
}

static void save_counters(struct board *b)
{
	char text[512];
	size_t len = counters_text(&b->counters, text, sizeof text);
	write_at(b->counters_fd, text, len, 0, "counters");
}

static void load_counters(struct board *b)
{
	char text[512];
	if (access("counters", F_OK) != 0) {
		size_t len = counters_text(&b->counters, text, sizeof text);
		if (!write_file("counters", text, len))
			die("create counters: %s", strerror(errno));
	}
	b->counters_fd = open("counters", O_RDWR | O_CLOEXEC);
	if (b->counters_fd < 0)
		die("open counters: %s", strerror(errno));
	ssize_t len = pread(b->counters_fd, text, sizeof text - 1, 0);
	text[len < 0 ? 0 : len] = 0;
	const char *line = text;
	/* A count that cannot be read is not guessed: it is evidence to somebody. */
#define X(field)                                                                                  \
	if (!line || sscanf(line, #field "=%20" SCNu64, &b->counters.field) != 1)                 \
		die("counters: no " #field " in it; delete the file to begin at zero");           \
	if ((line = strchr(line, '\n')))                                                          \
		line++;
	COUNTERS(X)
#undef X
}

static void load_flash(struct board *b)
{
	static uint8_t image[FLASH_BYTES];
	if (access("flash.bin", F_OK) != 0) {
		memset(image, BLANK, sizeof image);
		if (!write_file("flash.bin", image, sizeof image))
			die("create flash.bin: %s", strerror(errno));
	}
	b->flash_fd = open("flash.bin", O_RDWR | O_CLOEXEC);
	if (b->flash_fd < 0)
		die("open flash.bin: %s", strerror(errno));
	struct stat st;
	if (fstat(b->flash_fd, &st) != 0 || st.st_size != FLASH_BYTES)
		die("flash.bin is not %d bytes long; delete it to begin with a blank board", FLASH_BYTES);
	if (pread(b->flash_fd, image, sizeof image, 0) != FLASH_BYTES)
		die("read flash.bin: %s", strerror(errno));
	memcpy(b->avr->flash, image, b->boot_start);
	write_at(b->flash_fd, b->avr->flash + b->boot_start, FLASH_BYTES - b->boot_start,
		 b->boot_start, "flash.bin");
}

static void save_page(struct board *b)
{
	write_at(b->flash_fd, b->avr->flash + b->dirty_page, PAGE_BYTES, b->dirty_page, "flash.bin");
	b->dirty_page = -1;
	if (b->page_written) {
		b->counters.page_writes++;
		save_counters(b);
	}
}

/* ---- the loader's image -------------------------------------------------------------------- */

static int hex_byte(const char *s)
{
	if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
		return -1;
	return (int)strtoul((char[]){ s[0], s[1], 0 }, NULL, 16);
}

/* One Intel HEX record into `flash`. Returns its type, -1 where it is damaged; `*first` is lowered
 * to where data begins. Start-address records (3, 5) say nothing that we need. */
static int hex_record(const char *line, uint8_t *flash, avr_flashaddr_t *first)
{
	uint8_t r[5 + 255], sum = 0;
	size_t n = 0;
	if (*line++ != ':')
		return -1;
	for (int v; n < sizeof r && (v = hex_byte(line)) >= 0; line += 2)
		sum = (uint8_t)(sum + (r[n++] = (uint8_t)v));
	if (n < 5 || n != 5u + r[0] || sum != 0)
		return -1;
	unsigned address = (unsigned)(r[1] << 8 | r[2]);
	if (r[3] == 0) {
		if (address + r[0] > FLASH_BYTES + ANNEX_BYTES)
			return -1;
		memcpy(flash + address, r + 4, r[0]);
		if (address < *first)
			*first = address;
	}
	return r[3];
}

/* Debian's gcc builds Optiboot 20 bytes larger than the 512 that its section has, so the end of it
 * (the start of the application) lies where the chip has no flash. It works here because the
 * simulated chip has some: the application keeps the room that it has on a real Uno. */
static void load_bootloader(struct board *b, const char *path)
{
	FILE *f = fopen(path, "re");
	if (!f)
		die("open %s: %s", path, strerror(errno));
	char line[1024];
	int type = 0;
	b->boot_start = FLASH_BYTES;
	for (unsigned n = 1; type != 1 && fgets(line, sizeof line, f); n++) {
		type = hex_record(line, b->avr->flash, &b->boot_start);
		if (type < 0 || type == 2 || type == 4)
			die("%s:%u: not an Intel HEX record of a 32 KiB chip", path, n);
	}
	fclose(f);
	/* The boot sections that BOOTSZ allows: 256, 512, 1024 or 2048 words at the end. */
	avr_flashaddr_t at = b->boot_start;
	if (type != 1 || (at != 0x7000 && at != 0x7800 && at != 0x7c00 && at != 0x7e00))
		die("%s: does not begin at a boot section of the ATmega328P", path);
}

/* ---- the loader's conversation ------------------------------------------------------------- */

static unsigned stk_argument_count(uint8_t command)
{
	switch (command) {
	case STK_GET_PARAMETER: return 1;
	case STK_LOAD_ADDRESS: return 2;
	case STK_PROG_PAGE:
	case STK_READ_PAGE: return 3;
	case STK_UNIVERSAL: return 4;
	case STK_SET_DEVICE_EXT: return 5;
	case STK_SET_DEVICE: return 20;
	default: return 0;
	}
}

static void stk_argument(struct stk *s, uint8_t byte)
{
	if (s->taken < sizeof s->arguments)
		s->arguments[s->taken] = byte;
	s->taken++;
	if (--s->left)
		return;
	s->at = STK_END;
	if (s->command == STK_PROG_PAGE) {
		/* Optiboot keeps the low byte of the length, and takes zero for 256. */
		s->left = s->arguments[1] ? s->arguments[1] : 256;
		s->at = STK_DATA;
	}
}

/* The processor read `byte` from the UART. */
static void stk_read(struct stk *s, uint8_t byte)
{
	switch (s->at) {
	case STK_ANSWER: /* a new command ends whatever was still to be answered */
	case STK_COMMAND:
		*s = (struct stk){ .command = byte, .left = stk_argument_count(byte) };
		s->at = s->left ? STK_ARGUMENTS : STK_END;
		break;
	case STK_ARGUMENTS:
		stk_argument(s, byte);
		break;
	case STK_DATA:
		if (--s->left == 0)
			s->at = STK_END;
		break;
	case STK_END: /* anything else makes the loader wait for its watchdog */
		s->at = byte == STK_EOP ? STK_ANSWER : STK_LOST;
		break;
	case STK_LOST:
		break;
	}
}

/* The loader sends `byte`; what leaves the board is returned: a borrowed signature goes in here. */
static uint8_t stk_sends(struct board *b, uint8_t byte)
{
	struct stk *s = &b->stk;
	if (s->at != STK_ANSWER)
		return byte;
	unsigned i = s->answered++;
	if (i == 0 && byte != STK_INSYNC)
		s->at = STK_LOST;
	if (s->command == STK_LEAVE && i == 1 && byte == STK_OK && !b->left) {
		b->left = true;
		b->counters.leaves++;
		save_counters(b);
	}
	if (s->command == STK_READ_SIGN && b->has_signature && i >= 1 && i <= 3)
		return b->signature[i - 1];
	return byte;
}

/* ---- the processor ------------------------------------------------------------------------- */

static uint64_t cycles(const struct board *b)
{
	return b->cycle_base + b->avr->cycle;
}

static bool halted(const struct board *b)
{
	return b->avr->state == cpu_Stopped;
}

/* One instruction at a time in the boot section, so that not one of the application's runs before
 * its start has been counted; bursts elsewhere. */
static void set_section(struct board *b, bool boot)
{
	b->in_boot = boot;
	b->avr->run_cycle_limit = boot ? 1 : SLICE_US * CYCLES_PER_US;
}

static void raw_reset(struct board *b, avr_flashaddr_t pc)
{
	uint64_t before = b->avr->cycle;
	b->avr->run = b->run;
	b->avr->reset_pc = pc;
	avr_reset(b->avr);
	b->cycle_base += before - b->avr->cycle;
	b->dirty_page = -1;
}

/* A reset as the chip knows it: into the boot section (fuse BOOTRST), with its cause in MCUSR. */
static void cpu_reset(struct board *b, enum cause cause)
{
	bool by_watchdog = cause == BY_LEAVE || cause == BY_TIMEOUT || cause == BY_APP_WATCHDOG;
	b->watchdog->reset_context.avr_run = b->run;
	b->watchdog->reset_context.wdrf = by_watchdog; /* makes the library set WDRF and arm it */
	raw_reset(b, b->boot_start);
	if (cause == BY_POWER)
		avr_regbit_set(b->avr, b->avr->reset_flags.porf);
	if (cause == BY_RESET)
		avr_regbit_set(b->avr, b->avr->reset_flags.extrf);
	set_section(b, true);
	b->cause = cause;
	b->started = b->left = false;
	b->stk = (struct stk){ 0 };
}

static void reset_by_watchdog(struct board *b)
{
	enum cause cause = !b->in_boot ? BY_APP_WATCHDOG : b->left ? BY_LEAVE : BY_TIMEOUT;
	b->counters.watchdog_resets++;
	save_counters(b);
	cpu_reset(b, cause);
}

static void reset_externally(struct board *b)
{
	b->counters.resets++;
	save_counters(b);
	cpu_reset(b, BY_RESET);
}

static void power_on(struct board *b)
{
	memset(b->avr->data, 0, (size_t)b->avr->ramend + 1);
	b->powered = true;
	b->counters.power_ons++;
	save_counters(b);
	cpu_reset(b, BY_POWER);
}

static void power_off(struct board *b)
{
	b->powered = false;
	b->out_len = 0;
}

/* Control passes from the loader to the application, before its first instruction.
 *
 * The library adds reset_pc to every interrupt vector, so it has to be zero from here on, and it
 * leaves the watchdog of the last reset armed; a clean reset to zero settles both. */
static void enter_application(struct board *b)
{
	b->watchdog->reset_context.wdrf = 0;
	raw_reset(b, 0);
	set_section(b, false);
	if (b->avr->flash[0] == BLANK && b->avr->flash[1] == BLANK) {
		b->avr->state = cpu_Stopped; /* no application: the chip would run in circles */
		return;
	}
	if (b->started)
		return;
	b->started = true;
	b->counters.app_starts++;
	if (b->cause == BY_TIMEOUT)
		b->counters.app_starts_by_timeout++;
	save_counters(b);
}

static void step(struct board *b)
{
	avr_t *avr = b->avr;
	if (avr->state == cpu_Stopped)
		avr->cycle += 100 * CYCLES_PER_US; /* halted, but the watchdog still counts */
	avr_run(avr);
	if (b->dirty_page >= 0)
		save_page(b);
	if (avr->run != b->run)
		reset_by_watchdog(b);
	else if (b->in_boot && avr->pc < b->boot_start)
		enter_application(b);
	else if (!b->in_boot && avr->pc >= b->boot_start)
		set_section(b, true);
	if (avr->state == cpu_Done || avr->state == cpu_Crashed)
		avr->state = cpu_Stopped;
}

/* The processor sleeps: time passes up to the next timer, but not past the slice, or a byte that
 * comes in meanwhile would wait for it. The caller adds `how_long` to the cycle count. */
static void on_sleep(avr_t *avr, avr_cycle_count_t how_long)
{
	struct board *b = avr->custom.data;
	uint64_t now = cycles(b), most = b->target > now ? b->target - now : 0;
	if (how_long > most)
		avr->cycle -= how_long - most;
}

/* Before the library's own flash module: see which page an SPM changes. As on the chip, only the
 * loader may use it, and not on itself (an Uno's lock bits). -1 passes the request on, 0 swallows
 * it. */
static int on_ioctl(avr_io_t *io, uint32_t request, void *param)
{
	(void)param;
	if (request != AVR_IOCTL_FLASH_SPM)
		return -1;
	avr_t *avr = io->avr;
	struct board *b = avr->custom.data;
	unsigned z = (unsigned)(avr->data[R_ZL] | avr->data[R_ZH] << 8) % FLASH_BYTES;
	uint8_t command = avr->data[SPMCSR];
	if (!(command & (SPM_ERASE | SPM_WRITE)))
		return -1;
	if (!b->in_boot || z >= b->boot_start)
		return 0;
	b->dirty_page = (int)(z - z % PAGE_BYTES);
	b->page_written = command & SPM_WRITE;
	return -1;
}

static uint8_t on_udr_read(avr_t *avr, avr_io_addr_t address, void *param)
{
	struct board *b = avr->custom.data;
	bool any = b->uart->input.read != b->uart->input.write &&
		   avr_regbit_get(avr, b->uart->rxc.raised);
	uint8_t byte = b->udr_read(avr, address, param);
	if (any && b->in_boot)
		stk_read(&b->stk, byte);
	return byte;
}

/* The library counts a parity bit always, and so runs a 10-bit line at 11 bits a byte. */
static void on_ubrr_write(avr_t *avr, avr_io_addr_t address, uint8_t value, void *param)
{
	struct board *b = avr->custom.data;
	avr_uart_t *u = b->uart;
	b->ubrr_write(avr, address, value, param);
	bool parity = avr->data[u->r_ucsrc] >> 5 & 1; /* UPM01 */
	if (!parity && u->cycles_per_byte) {
		unsigned bits = 10 + avr_regbit_get(avr, u->usbs);
		u->cycles_per_byte = u->cycles_per_byte / (bits + 1) * bits;
	}
}

static void on_uart_output(avr_irq_t *irq, uint32_t value, void *param)
{
	(void)irq;
	struct board *b = param;
	uint8_t byte = (uint8_t)value;
	if (b->in_boot)
		byte = stk_sends(b, byte);
	if (!b->client || b->fault != FAULT_NONE)
		return; /* a line that nobody listens to */
	if (b->out_len < OUT_BYTES)
		b->out[b->out_len++] = byte;
	else
		b->lost++;
}

static void log_errors(avr_t *avr, const int level, const char *format, va_list ap)
{
	(void)avr;
	if (level == LOG_ERROR)
		vfprintf(stderr, format, ap);
}

static void *find_module(avr_t *avr, const char *kind)
{
	for (avr_io_t *io = avr->io_port; io; io = io->next)
		if (strcmp(io->kind, kind) == 0)
			return io;
	die("this libsimavr has no %s", kind);
}

static void make_processor(struct board *b)
{
	static avr_io_t spy = { .kind = "uno", .ioctl = on_ioctl };
	avr_global_logger_set(log_errors);
	avr_t *avr = b->avr = avr_make_mcu_by_name("atmega328p");
	if (!avr)
		die("this libsimavr has no ATmega328P");
	avr->flashend = FLASH_BYTES + ANNEX_BYTES - 1;
	if (avr_init(avr) != 0)
		die("the ATmega328P of this libsimavr does not start");
	avr->frequency = CYCLES_PER_US * 1000000;
	avr->log = LOG_ERROR;
	avr->custom.data = b;
	avr->codeend = avr->flashend;
	avr->sleep = on_sleep;
	b->run = avr->run;
	memset(avr->flash, BLANK, FLASH_BYTES + ANNEX_BYTES);
	b->uart = find_module(avr, "uart"); /* the chip has one */
	b->watchdog = find_module(avr, "watchdog");
	avr_register_io(avr, &spy);

	uint32_t flags = 0; /* neither printing to our stdout nor sleeping inside the library */
	avr_ioctl(avr, AVR_IOCTL_UART_SET_FLAGS('0'), &flags);
	avr_irq_t *output = avr_io_getirq(avr, AVR_IOCTL_UART_GETIRQ('0'), UART_IRQ_OUTPUT);
	avr_irq_register_notify(output, on_uart_output, b);
	avr_io_addr_t udr = AVR_DATA_TO_IO(b->uart->r_udr), ubrr = AVR_DATA_TO_IO(b->uart->ubrrl.reg);
	b->udr_read = avr->io[udr].r.c;
	avr->io[udr].r.c = on_udr_read;
	b->ubrr_write = avr->io[ubrr].w.c;
	avr->io[ubrr].w.c = on_ubrr_write;
}

/* ---- the line ------------------------------------------------------------------------------ */

static bool write_link(const char *target, const char *path)
{
	char temp[64];
	snprintf(temp, sizeof temp, "%s.new", path);
	unlink(temp);
	return symlink(target, temp) == 0 && rename(temp, path) == 0;
}

/* Makes the pseudo-terminal, raw, with `hupcl` as its HUPCL, and the link to it. */
static void make_line(struct board *b, bool hupcl)
{
	b->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (b->master < 0 || grantpt(b->master) != 0 || unlockpt(b->master) != 0 ||
	    ptsname_r(b->master, b->slave, sizeof b->slave) != 0)
		die("make a pseudo-terminal: %s", strerror(errno));
	fcntl(b->master, F_SETFL, O_NONBLOCK);
	/* Opened and closed once: POLLHUP on the master shows "no client" only after that. */
	int fd = open(b->slave, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios t;
	if (fd < 0 || tcgetattr(fd, &t) != 0)
		die("open %s: %s", b->slave, strerror(errno));
	cfmakeraw(&t);
	cfsetspeed(&t, B115200);
	t.c_cflag = hupcl ? t.c_cflag | HUPCL : t.c_cflag & ~(tcflag_t)HUPCL;
	tcsetattr(fd, TCSANOW, &t);
	close(fd);
	b->events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (b->events >= 0 && inotify_add_watch(b->events, b->slave, IN_OPEN | IN_CLOSE) < 0) {
		close(b->events);
		b->events = -1;
	}
	b->dtr_on_open = hupcl;
	b->handles = 0;
	if (!write_link(b->slave, "tty"))
		die("link tty to %s: %s", b->slave, strerror(errno));
}

static void close_line(struct board *b)
{
	close(b->master);
	if (b->events >= 0)
		close(b->events);
}

static bool hung_up(const struct board *b)
{
	struct pollfd p = { .fd = b->master };
	return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP);
}

/* Reads the opens and closes since the last look. Returns how often the line was closed by its
 * last client and opened anew in between: DTR fell and rose, too fast for POLLHUP to show. */
static unsigned read_events(struct board *b, int64_t now, bool *opened)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	unsigned reopened = 0;
	ssize_t n;
	*opened = false;
	while (b->events >= 0 && (n = read(b->events, buffer, sizeof buffer)) > 0) {
		for (char *p = buffer; p < buffer + n;) {
			struct inotify_event *e = (struct inotify_event *)p;
			if (e->mask & IN_OPEN) {
				reopened += b->fell;
				b->fell = false;
				*opened = true;
				b->handles++;
			} else if ((e->mask & IN_CLOSE) && --b->handles <= 0) {
				b->fell = true;
				b->fell_us = now;
				b->handles = 0;
			}
			p += sizeof *e + e->len;
		}
	}
	return reopened;
}

static void client_opened(struct board *b)
{
	b->client = true;
	b->unseen_open_us = 0;
	b->counters.opens++;
	save_counters(b);
	if (b->dtr_on_open && b->powered)
		reset_externally(b);
}

static void note_hupcl(struct board *b)
{
	struct termios t;
	if (tcgetattr(b->master, &t) == 0)
		b->dtr_on_open = t.c_cflag & HUPCL;
}

/* A real port forgets at its last close what nobody fetched; a PTY would hand it to the next
 * client. A PTY also stays exclusive (TIOCEXCL) after a killed client: then only a new one helps. */
static void forget_unread(struct board *b, int64_t now)
{
	bool opened;
	int fd = open(b->slave, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0) {
		tcflush(fd, TCIFLUSH);
		close(fd);
		read_events(b, now, &opened); /* our own */
	} else if (errno == EBUSY) {
		close_line(b);
		make_line(b, b->dtr_on_open);
	}
	b->handles = 0;
	b->fell = false;
	if (!hung_up(b))
		client_opened(b); /* in the meantime; its event may be among ours */
}

static void client_closed(struct board *b)
{
	b->client = false;
	b->draining = true;
	b->out_len = 0;
	note_hupcl(b);
}

/* POLLHUP is the truth about now; the events tell at once, and what was too short to be seen. */
static void track_client(struct board *b, int64_t now)
{
	bool opened;
	unsigned reopened = read_events(b, now, &opened);
	bool gone = hung_up(b);
	if (!b->client && !opened && !gone) {
		if (!b->unseen_open_us)
			b->unseen_open_us = now;
		opened = b->events < 0 || now - b->unseen_open_us > OPEN_SETTLE_US;
	}
	if (!b->client && opened)
		client_opened(b);
	for (; b->client && reopened; reopened--) {
		client_closed(b);
		client_opened(b);
	}
	if (b->fell && !gone && now - b->fell_us > OPEN_SETTLE_US) {
		b->fell = false;
		b->handles = 1; /* somebody has it still: the kernel merges equal events */
	}
	if (gone)
		b->unseen_open_us = 0;
	if (gone && b->client) {
		client_closed(b);
		forget_unread(b, now);
	}
}

static unsigned uart_room(const struct board *b)
{
	unsigned size = sizeof b->uart->input.buffer / sizeof b->uart->input.buffer[0];
	unsigned used = (unsigned)(b->uart->input.write + size - b->uart->input.read) % size;
	return size - 1 - used;
}

static bool receiver_on(const struct board *b)
{
	return avr_regbit_get(b->avr, b->uart->rxen);
}

/* For how many cycles the line has had something to bring: since its last byte was over, but no
 * longer than we looked away. The library itself would take two bytes in the time of one. */
static uint64_t line_elapsed(const struct board *b)
{
	uint64_t elapsed = cycles(b) - b->line_cycle;
	uint64_t most = SLICE_US * CYCLES_PER_US + b->uart->cycles_per_byte;
	return elapsed < most ? elapsed : most;
}

/* How many bytes a line of that rate brings in this time. */
static unsigned line_room(const struct board *b)
{
	uint64_t per_byte = b->uart->cycles_per_byte;
	return per_byte ? (unsigned)(line_elapsed(b) / per_byte) : 1;
}

/* `count` of `wanted` bytes came: where that is fewer, the line is idle from now on. */
static void line_took(struct board *b, unsigned count, unsigned wanted)
{
	uint64_t left = line_elapsed(b), took = (uint64_t)count * b->uart->cycles_per_byte;
	b->line_cycle = cycles(b) - (count == wanted && took < left ? left - took : 0);
}

/* How many bytes of the host to take now. A chip that is not listening loses them, a loader that is
 * about to listen does not, and a full receiver is not fed (the library's XOFF). */
static unsigned input_wanted(const struct board *b)
{
	bool deaf = !b->powered || halted(b) || b->fault == FAULT_SILENT || b->fault == FAULT_GARBAGE;
	if (deaf || (!receiver_on(b) && !b->in_boot))
		return 64;
	unsigned room = uart_room(b), brought = line_room(b);
	return !receiver_on(b) ? 0 : room < brought ? room : brought;
}

static void garble(struct board *b, size_t count)
{
	while (count-- && b->client && b->out_len < OUT_BYTES) {
		b->noise = b->noise * 1664525u + 1013904223u;
		b->out[b->out_len++] = (uint8_t)(b->noise >> 24) | 0x80; /* never an STK500 answer */
	}
}

static void pump_in(struct board *b, int64_t now)
{
	uint8_t bytes[64];
	unsigned want = input_wanted(b);
	if ((!b->client && !b->draining) || want == 0)
		return;
	ssize_t n = read(b->master, bytes, want < sizeof bytes ? want : sizeof bytes);
	line_took(b, n > 0 ? (unsigned)n : 0, want);
	if (n <= 0) {
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			b->draining = false; /* EIO: closed, and nothing left */
		return;
	}
	b->input_us = now;
	if (b->powered && b->fault == FAULT_GARBAGE)
		garble(b, (size_t)n);
	if (!b->powered || halted(b) || b->fault == FAULT_SILENT || b->fault == FAULT_GARBAGE)
		return;
	for (ssize_t i = 0; i < n; i++)
		avr_raise_irq(b->uart->io.irq + UART_IRQ_INPUT, bytes[i]);
}

static void pump_out(struct board *b)
{
	if (b->out_len == 0)
		return;
	ssize_t n = write(b->master, b->out, b->out_len);
	if (n <= 0)
		return;
	b->out_len -= (size_t)n;
	memmove(b->out, b->out + n, b->out_len);
}

/* A client that does not read holds the processor for a while, rather than lose a byte. */
static bool stalled(struct board *b, int64_t now)
{
	if (b->out_len < OUT_BYTES - 256) {
		b->full_since_us = 0;
		return false;
	}
	if (!b->full_since_us)
		b->full_since_us = now;
	return now - b->full_since_us < STALL_US;
}

static void run_until(struct board *b, int64_t now)
{
	if (!b->powered) {
		b->clock_us = now;
		pump_in(b, now);
		return;
	}
	if (now - b->clock_us > CATCH_UP_US)
		b->clock_us = now - CATCH_UP_US;
	while (b->clock_us < now) {
		int64_t slice = now - b->clock_us < SLICE_US ? now - b->clock_us : SLICE_US;
		pump_in(b, now);
		if (stalled(b, now)) {
			b->clock_us = now;
			break;
		}
		b->clock_us += slice;
		b->target += (uint64_t)slice * CYCLES_PER_US;
		while (cycles(b) < b->target)
			step(b);
		pump_out(b);
	}
	pump_out(b);
}

/* ---- the control socket -------------------------------------------------------------------- */

static void close_connection(struct connection *c)
{
	close(c->fd);
	c->fd = -1;
}

__attribute__((format(printf, 2, 3))) static void answer(struct connection *c, const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(c->out, sizeof c->out - 1, format, ap);
	va_end(ap);
	c->out_len = n < (int)sizeof c->out - 1 ? (size_t)n : sizeof c->out - 2;
	c->out[c->out_len++] = '\n';
}

static void answer_counters(struct board *b, struct connection *c)
{
	char text[512];
	size_t len = 0;
#define X(field)                                                                                  \
	len += (size_t)snprintf(text + len, sizeof text - len, " " #field "=%" PRIu64, b->counters.field);
	COUNTERS(X)
#undef X
	answer(c, "ok%s", text);
}

static void answer_state(struct board *b, struct connection *c)
{
	/* Every life of the processor began by one of these, so it also grows across restarts. */
	uint64_t boots = b->counters.power_ons + b->counters.resets + b->counters.watchdog_resets;
	answer(c, "ok in=%s cycles=%" PRIu64 " client=%d boots=%" PRIu64 " halted=%d lost=%" PRIu64
		  " fault=%s dtr=%d",
	       !b->powered ? "off" : b->in_boot ? "boot" : "app", cycles(b), b->client, boots,
	       b->powered && halted(b), b->lost, fault_names[b->fault], b->dtr_on_open);
}

static void do_power(struct board *b, struct connection *c, const char *how)
{
	bool on = strcmp(how, "on") == 0, off = strcmp(how, "off") == 0;
	bool cycle = strcmp(how, "cycle") == 0;
	if (!on && !off && !cycle) {
		answer(c, "error power is on, off or cycle");
		return;
	}
	if (off || cycle)
		power_off(b);
	if (cycle || (on && !b->powered))
		power_on(b);
	answer(c, "ok");
}

static void do_fault(struct board *b, struct connection *c, const char *name)
{
	for (unsigned i = 0; i < sizeof fault_names / sizeof fault_names[0]; i++) {
		if (strcmp(name, fault_names[i]) == 0) {
			b->fault = (enum fault)i;
			answer(c, "ok");
			return;
		}
	}
	answer(c, "error fault is none, silent, garbage or mute");
}

static void do_dump(struct board *b, struct connection *c, const char *path)
{
	if (path[0] != '/')
		answer(c, "error dump needs an absolute path");
	else if (!write_file(path, b->avr->flash, FLASH_BYTES))
		answer(c, "error dump %.300s: %s", path, strerror(errno));
	else
		answer(c, "ok");
}

static void do_reset(struct board *b, struct connection *c)
{
	if (!b->powered) {
		answer(c, "error power is off");
		return;
	}
	reset_externally(b);
	answer(c, "ok");
}

static void do_line(struct board *b, struct connection *c, char *line)
{
	char *space = strchr(line, ' ');
	const char *rest = space ? space + 1 : "";
	if (space)
		*space = 0;
	if (strcmp(line, "hello") == 0) {
		answer(c, "ok uno 1 pid=%d name=%s", (int)getpid(), b->name);
	} else if (strcmp(line, "own") == 0) {
		c->owner = true;
		answer(c, "ok");
	} else if (strcmp(line, "counters") == 0) {
		answer_counters(b, c);
	} else if (strcmp(line, "state") == 0) {
		answer_state(b, c);
	} else if (strcmp(line, "reset") == 0) {
		do_reset(b, c);
	} else if (strcmp(line, "power") == 0) {
		do_power(b, c, rest);
	} else if (strcmp(line, "fault") == 0) {
		do_fault(b, c, rest);
	} else if (strcmp(line, "dump") == 0) {
		do_dump(b, c, rest);
	} else if (strcmp(line, "quit") == 0) {
		b->quit = true;
		answer(c, "ok");
	} else {
		answer(c, "error no such request");
	}
}

static void flush_connection(struct connection *c)
{
	ssize_t n = c->out_len ? send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		close_connection(c);
	} else if (n > 0) {
		c->out_len -= (size_t)n;
		memmove(c->out, c->out + n, c->out_len);
	}
}

/* One answer at a time: a client that does not read is not read either. */
static void do_lines(struct board *b, struct connection *c)
{
	char *end;
	while (c->fd >= 0 && c->out_len == 0 && (end = memchr(c->in, '\n', c->in_len))) {
		size_t used = (size_t)(end - c->in) + 1;
		*end = 0;
		do_line(b, c, c->in);
		c->in_len -= used;
		memmove(c->in, c->in + used, c->in_len);
		flush_connection(c);
	}
	if (c->fd >= 0 && c->out_len == 0 && c->in_len == sizeof c->in) {
		answer(c, "error line too long");
		flush_connection(c);
		if (c->fd >= 0)
			close_connection(c);
	}
}

static void serve(struct board *b, struct connection *c)
{
	flush_connection(c);
	if (c->fd < 0 || c->out_len)
		return;
	do_lines(b, c);
	if (c->fd < 0 || c->out_len)
		return;
	ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
	if (n > 0) {
		c->in_len += (size_t)n;
		do_lines(b, c);
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_connection(c);
	}
}

static void accept_connection(struct board *b)
{
	int fd = accept4(b->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	for (int i = 0; i < CONNECTIONS; i++) {
		if (b->connections[i].fd < 0) {
			b->connections[i] = (struct connection){ .fd = fd };
			return;
		}
	}
	static const char busy[] = "error too many connections\n";
	send(fd, busy, sizeof busy - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

static void track_owner(struct board *b, int64_t now)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (b->connections[i].fd >= 0 && b->connections[i].owner)
			b->unowned_since_us = now;
	if (now - b->unowned_since_us > (int64_t)b->linger_s * 1000000)
		b->quit = true;
}

/* The working folder is the board's own, so the path fits a socket address however long it is. */
static void listen_on_control(struct board *b)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = "control" };
	unlink("control"); /* a dead board's: we hold the lock */
	b->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mode_t old = umask(0177);
	if (b->listener < 0 || bind(b->listener, (struct sockaddr *)&address, sizeof address) != 0 ||
	    listen(b->listener, CONNECTIONS) != 0)
		die("listen on control: %s", strerror(errno));
	umask(old);
}

/* ---- the process --------------------------------------------------------------------------- */

static int64_t wake_after_us(const struct board *b, int64_t now)
{
	if (!b->powered || halted(b))
		return b->events >= 0 ? WAKE_PARKED_US : WAKE_IDLE_US;
	return now - b->input_us < BUSY_US ? SLICE_US : WAKE_IDLE_US;
}

static void wait_for_something(struct board *b, const sigset_t *unblocked)
{
	struct pollfd p[3 + CONNECTIONS];
	p[0] = (struct pollfd){ .fd = b->listener, .events = POLLIN };
	p[1] = (struct pollfd){ .fd = b->events, .events = POLLIN };
	/* A closed line is ready for ever, and so is one that we have no room for. */
	p[2] = (struct pollfd){ .fd = b->client && input_wanted(b) ? b->master : -1, .events = POLLIN };
	for (int i = 0; i < CONNECTIONS; i++) {
		struct connection *c = &b->connections[i];
		p[3 + i] = (struct pollfd){ .fd = c->fd, .events = c->out_len ? POLLOUT : POLLIN };
	}
	int64_t us = wake_after_us(b, now_us());
	struct timespec t = { .tv_nsec = us * 1000 };
	if (ppoll(p, 3 + CONNECTIONS, &t, unblocked) <= 0)
		return;
	for (int i = 0; i < CONNECTIONS; i++)
		if (p[3 + i].revents)
			serve(b, &b->connections[i]);
	if (p[0].revents)
		accept_connection(b);
}

static void run(struct board *b, const sigset_t *unblocked)
{
	b->clock_us = b->unowned_since_us = now_us();
	power_on(b);
	while (!b->quit && !stop_asked) {
		wait_for_something(b, unblocked);
		int64_t now = now_us();
		track_client(b, now);
		run_until(b, now);
		track_owner(b, now);
	}
}

/* The start time in clock ticks since boot: field 22 of /proc/self/stat, which with the pid names
 * a process for good. The second field may hold spaces; the fields are counted after it. */
static unsigned long long start_ticks(void)
{
	char text[1024] = "";
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = 0;
	char *p = strrchr(text, ')');
	for (int field = 2; p && field < 22; field++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

static void write_pid(void)
{
	char exe[2048], text[2200];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
	exe[n < 0 ? 0 : n] = 0;
	int len = snprintf(text, sizeof text, "pid=%d\nstart=%llu\nexe=%s\n", (int)getpid(),
			   start_ticks(), exe);
	if (!write_file("pid", text, (size_t)len))
		die("write pid: %s", strerror(errno));
}

/* Held until the process ends, however it ends; never unlinked, or two could hold it. */
static void take_lock(const char *dir)
{
	int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die("open %s/lock: %s", dir, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		fprintf(stderr, "uno: %s is held by another board\n", dir);
		exit(2);
	}
}

static void point_at_null(int fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, fd) < 0)
		die("open /dev/null: %s", strerror(errno));
	close(null);
}

static void set_signals(sigset_t *unblocked)
{
	sigset_t stops;
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_stop }, NULL);
	sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_stop }, NULL);
	sigemptyset(&stops);
	sigaddset(&stops, SIGTERM);
	sigaddset(&stops, SIGINT);
	/* Only let in while waiting: a stop between the check and the wait is not missed. */
	sigprocmask(SIG_BLOCK, &stops, unblocked);
	sigdelset(unblocked, SIGTERM);
	sigdelset(unblocked, SIGINT);
}

static bool parse_signature(struct board *b, const char *text)
{
	for (int i = 0; i < 3; i++) {
		int v = hex_byte(text + 2 * i);
		if (v < 0)
			return false;
		b->signature[i] = (uint8_t)v;
	}
	b->has_signature = true;
	return text[6] == 0;
}

static bool parse_name(struct board *b, const char *text)
{
	b->name = text;
	for (const char *p = text; *p; p++)
		if (!isgraph((unsigned char)*p))
			return false;
	return *text && strlen(text) <= 64;
}

static bool parse_linger(struct board *b, const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);
	b->linger_s = (unsigned)v;
	return isdigit((unsigned char)*text) && *end == 0 && v <= 7 * 24 * 3600;
}

static void usage(void)
{
	fputs("usage: uno --dir DIR --bootloader HEX [--name NAME] [--linger SECONDS] "
	      "[--signature 1e950f]\n", stderr);
	exit(64);
}

static void parse_arguments(struct board *b, int argc, char **argv, const char **dir, const char **hex)
{
	static const struct option options[] = {
		{ "dir", required_argument, NULL, 'd' },    { "bootloader", required_argument, NULL, 'b' },
		{ "name", required_argument, NULL, 'n' },   { "linger", required_argument, NULL, 'l' },
		{ "signature", required_argument, NULL, 's' }, { 0 },
	};
	bool ok = true;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 'd': *dir = optarg; break;
		case 'b': *hex = optarg; break;
		case 'n': ok &= parse_name(b, optarg); break;
		case 'l': ok &= parse_linger(b, optarg); break;
		case 's': ok &= parse_signature(b, optarg); break;
		default: ok = false;
		}
	}
	if (!ok || !*dir || !*hex || optind != argc)
		usage();
}

int main(int argc, char **argv)
{
	static struct board board = {
		.name = "uno", .linger_s = 60, .dirty_page = -1, .noise = 1, .events = -1,
	};
	struct board *b = &board;
	const char *dir = NULL, *hex = NULL;
	sigset_t unblocked;
	parse_arguments(b, argc, argv, &dir, &hex);
	for (int i = 0; i < CONNECTIONS; i++)
		b->connections[i].fd = -1;
	set_signals(&unblocked);
	prctl(PR_SET_TIMERSLACK, 10000UL, 0, 0, 0); /* ns: the default would add 50 us to each wait */
	point_at_null(STDIN_FILENO);

	make_processor(b);
	load_bootloader(b, hex);
	mkdir(dir, 0700);
	if (chdir(dir) != 0)
		die("enter %s: %s", dir, strerror(errno));
	take_lock(dir);
	load_flash(b);
	load_counters(b);
	write_pid();
	make_line(b, true);
	listen_on_control(b);
	puts("ready");
	fflush(stdout);
	point_at_null(STDOUT_FILENO);

	run(b, &unblocked);
	fdatasync(b->flash_fd);
	fdatasync(b->counters_fd);
	unlink("control");
	unlink("tty");
	unlink("pid");
	return 0;
}
