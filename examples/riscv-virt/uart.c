#include "uart.h"

// A 16550 with its registers a byte apart (QEMU, hw/riscv/virt.c, VIRT_UART0). QEMU's needs no baud rate.
#define UART ((volatile uint8_t *)0x10000000)

// Registers and bits: PC16550D data sheet, table II.
#define DATA 0          // read: receiver buffer; written: transmitter holding register
#define LINE_STATUS 5
#define DATA_READY 0x01
#define TRANSMITTER_EMPTY 0x20

void uart_put(char c) {
  while (!(UART[LINE_STATUS] & TRANSMITTER_EMPTY)) {
  }
  UART[DATA] = c;
}

int uart_get(void) {
  return UART[LINE_STATUS] & DATA_READY ? UART[DATA] : -1;
}

void uart_text(const char *text) {
  while (*text) {
    uart_put(*text++);
  }
}

void uart_decimal(uint32_t number) {
  if (number >= 10) {
    uart_decimal(number / 10);
  }
  uart_put('0' + number % 10);
}

void uart_hex(uint32_t number) {
  for (int shift = 28; shift >= 0; shift -= 4) {
    uart_put("0123456789abcdef"[number >> shift & 0xf]);
  }
}
